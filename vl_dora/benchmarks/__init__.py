"""One file a benchmark: the official result and annotation files in, paired by id, its scores out.

Each class takes two paths, predictions and references, and gives `vl_dora.metrics.statistic.Scored`.

- `fields`: text, JSON and fields with errors that name the place
- `files`: rows, ids and values of result and annotation files; pairing by id
- `csv_rows`: result files of comma-separated rows
- `vqa`, `textvqa`, `anls`, `gqa`, `nlvr2`, `nlvr_cornell`, `pope`, `scienceqa`, `captions`
- `multiple_choice`: TVQA, How2QA, NExT-QA
- `open_video_qa`: ActivityNet-QA, MSVD-QA, MSRVTT-QA
"""
