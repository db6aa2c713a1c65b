"""Scores as functions on strings and numbers, each citing the official script that it agrees with.

Pictures
- `vqa_accuracy`: VQA accuracy, official and as VL-T5 computes it
- `contractions`: the misspelt contractions that VQA accuracy puts right
- `textvqa_accuracy`: TextVQA accuracy, ST-VQA accuracy, ANLS
- `gqa`, `nlvr2`, `nlvr_cornell`, `pope`, `scienceqa`, `mmbench`: the scores of these benchmarks
- `exact_match`: equality after trimming and lower-casing

Captions
- `captions`: all caption scores of a set, COCO's and VALUE's way
- `ptb_tokenizer`, `ptb_grammar`: tokens as the official tokenizer cuts them
- `bleu`, `rouge_l`, `cider`, `meteor`: one score each

Videos
- `multiple_choice`: TVQA, How2QA, NExT-QA
- `open_video_qa`: ActivityNet-QA, MSVD-QA, MSRVTT-QA

Uncertainty
- `statistic`: a score as a function of how often each item counts
- `resampling`: bootstrap intervals and a paired test of any such score
- `bootstrap`: the interval of a mean
"""
