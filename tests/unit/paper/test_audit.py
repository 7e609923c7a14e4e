"""The audit of the paper: verdicts and witnesses, as one command prints them."""

import json

import pytest

from rsverify.cli import app as cli


@pytest.mark.slow
def test_the_command_refutes_what_is_wrong_and_shows_where(capsys, tmp_path):
    out = tmp_path / "results" / "paper.json"
    with pytest.raises(SystemExit) as stopped:
        cli.main(["audit-paper", "--out", str(out)])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    verdicts = {
        line.split(" (n =")[0][13:]: line.split()[0]
        for line in printed.splitlines()
        if line.startswith(("refuted", "supported", "inconclusive"))
    }
    right = [v for k, v in verdicts.items() if k.startswith(("(4)-(6)", "Proposition 2"))]
    wrong = [v for k, v in verdicts.items() if not k.startswith(("(4)-(6)", "Proposition 2"))]
    assert right == ["supported"] * 3
    assert wrong == ["refuted"] * 7
    assert "7 of 10 formulas are refuted." in printed.splitlines()
    assert printed.splitlines()[-1] == f"Written: {out}"
    audits = json.loads(out.read_text())["audits"]
    assert set(audits) == set(verdicts)
    for place in ("(7), (8) difference", "(7), (8) probit", "4.3 two steps, order 10"):
        witness = audits[place]["witness"]
        assert witness["rational"]
        assert witness["probability"] > 0.9
