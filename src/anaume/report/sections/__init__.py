"""The sections of the page: one file per section, which holds all that the report says about its task.

To add an evaluation, write one file here and put its section into `PAGE`; nothing else changes. The file defines a
`Section` (see `anaume.report.section`) with the parts that the task has:

    tables, panels and print figures          `content`
    what must agree between records           its aspects, handed to the tables and to `task_columns`
    columns in the table of all models        `overview`
    columns in the training dynamics          `dynamics`
    a curve over the checkpoints              `steps`
    key figures at the head of the page       `key_figures`

Records of a task that no section names in `tasks` appear under "Other tasks".
"""

from anaume.report.sections import (
    dynamics,
    fill_mask,
    geometry,
    jglue,
    ner,
    other,
    overview,
    pseudo_perplexity,
    retrieval,
    validation,
)
from anaume.report.sections.long_context import needle
from anaume.report.sections.made_of import documents, manifest, read
from anaume.report.sections.runs import overlay, training

# From top to bottom.
PAGE = (
    overview.SECTION,
    overlay.SECTION,
    training.SECTION,
    jglue.SECTION,
    ner.SECTION,
    fill_mask.SECTION,
    retrieval.SECTION,
    needle.SECTION,
    dynamics.SECTION,
    pseudo_perplexity.SECTION,
    geometry.ALIGNMENT,
    geometry.SIMILARITIES,
    validation.SECTION,
    other.SECTION,
    manifest.DATA,
    documents.SECTION,
    read.SECTION,
    manifest.RECIPE,
    manifest.ENVIRONMENT,
)
