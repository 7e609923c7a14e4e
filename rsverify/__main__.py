"""``python -m rsverify``, also for torchrun: ``torchrun -m rsverify certify …``."""

from rsverify.cli.app import main

main()
