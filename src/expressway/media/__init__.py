"""Videos, folders of frames and still images: from files to JPEG bytes and facts."""
