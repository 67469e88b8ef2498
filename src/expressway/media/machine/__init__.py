"""How ffmpeg is run: processes, pipes, shared runs. The frames are the same however."""
