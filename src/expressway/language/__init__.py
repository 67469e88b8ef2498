"""Language: text encoders, and later captioners, their prompts and the caption refiner."""
