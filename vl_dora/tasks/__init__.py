"""One file a task: its prompt, target, score and submission file side by side.

- `interface`: what a task is, and the report of its scores
- `vqa`, `nlvr_cornell`, `shapes`: the tasks
- `baselines`: what knowing only the training answers, or only the question, would score
- `checks`, `submission`: what scores ask of predictions; writing a file whole or not at all
"""
