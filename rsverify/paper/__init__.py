"""The design paper's formulas as printed and their audit: nothing here may be relied on."""

from rsverify.paper.formulas import FORMULAS as FORMULAS
