# The doorway: everything is in workflow/. An included file never sets the default target, so it
# is named here; without that line, plain `snakemake` would do nothing and report success.
include: "workflow/Snakefile"


workflow.default_target = "all"
