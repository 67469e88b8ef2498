"""What a trained model says: of the test clips of an evaluation, of single files."""
