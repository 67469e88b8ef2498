"""Class names of the field in the order that most lists number them: 0 is happiness.

It is the order of DFEW's own numbers, of DFER-CLIP's and of Exp-CLIP's lists.
"""

BASIC = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
EIGHT = (*BASIC, "contempt")
ELEVEN = (*EIGHT, "anxiety", "helplessness", "disappointment")

# MAFW's own order, in which the components of its compound names stand too.
MAFW_ORDER = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    *ELEVEN[len(BASIC) :],
)
