"""Scores as functions on strings and numbers, each citing the official script that it agrees with.

- `vqa_accuracy`: VQA accuracy, official and as VL-T5 computes it
- `contractions`: the misspelt contractions that VQA accuracy puts right
- `nlvr_cornell`: precision and consistency of Cornell NLVR
- `exact_match`: equality after trimming and lower-casing
- `bootstrap`: the interval of a mean
"""
