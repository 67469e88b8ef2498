"""From what people have on disk to a manifest, splits and a data set's configuration."""

# Data sets that are read as their owners ship them -> what the command's help says.
OFFICIAL = {
    "dfew": "DFEW: five folds of single-labelled clips.",
    "ferv39k": "FERV39k: the official split of 22 scenes.",
    "mafw": "MAFW: single and compound labels, captions, HESP's subset.",
    "afew": "AFEW: train and validation.",
    "caers": "CAER-S: still images.",
    "rafdb": "RAF-DB: still images of the seven basic classes.",
    "affectnet": "AffectNet: still images of seven and eight classes.",
    "ferplus": "FERPlus: still images with a majority of ten votes.",
}
IMAGES = frozenset({"caers", "rafdb", "affectnet", "ferplus"})
