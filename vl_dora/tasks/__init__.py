"""One file a task: its prompt, target, score and submission file side by side.

- `interface`: what a task is, and the report of its scores
- `vqa`, `gqa`, `nlvr2`, `captioning`, `nlvr_cornell`, `shapes`: the tasks
- `mixture`: several of them learned by one network
- `baselines`: what knowing only the training answers, or only the question, would score
- `checks`, `submission`: what scores ask of predictions; writing a file whole or not at all
"""
