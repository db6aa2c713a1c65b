"""One file a task: its prompt, target, score and submission file side by side.

- `interface`: what a task is, and the report of its scores
- `vqa`, `gqa`, `nlvr2`, `captioning`, `nlvr_cornell`, `shapes`: the tasks with pictures
- `llava_vqav2`, `llava_gqa`, `vizwiz`, `scienceqa`, `textvqa`, `pope`, `mmbench`: LLaVA's benchmarks, and
  `ask`, questions about one's own pictures; `llava_answers` writes what all of them hand in
- `subtitled_choice` (TVQA, How2QA), `video_captioning` (TVC, YC2C), `open_video_qa` (MSVD-QA, MSRVTT-QA,
  ActivityNet-QA), `nextqa`: the tasks with clips
- `subtitles`, `choices`, `caption_report`: what several of them share
- `mixture`: several of them learned by one network
- `baselines`: what knowing only the training answers, or only the question, would score
- `checks`, `server_files`, `submission`: what scores ask of predictions; files for servers, written whole or
  not at all
"""
