"""Training and evaluation of adapted networks.

adapter_tuning  AdapterTuning, the one base
vl_bart         VLBartModule
llava           LlavaModule
optimizer       settings of AdamW and the course of its learning rate
gathering       predictions of all processes, each sample once
checkpoints     last.ckpt and best.ckpt, when they are saved
checkpoint_files  writing a checkpoint whole, and reading one
random_state    every random generator, kept in a checkpoint
progress        the progress bar
written_answers answers of an evaluation as they come, and going on after them
watching        callbacks: movement check, step times, validation lines
"""
