"""What a run would cost: one training step run on shapes alone, its memory and operations counted."""
