"""Fine-tune vision-language models with DoRA and its neighbours, part by part."""

__version__ = "0.1.0"
