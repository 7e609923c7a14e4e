"""``python -m rsverify``, also for torchrun: ``torchrun -m rsverify certify …``."""

import os
import sys

# Python puts the current folder first: a file in it that is named like a module, torch.py say,
# would replace it. Models and bounds of the user are found by their own paths.
if sys.path[:1] in ([os.getcwd()], [""]):
    sys.path.append(sys.path.pop(0))

from rsverify.cli.start import main

main()
