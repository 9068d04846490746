"""What a comparison writes: a page, tables in every format, a picture."""

import csv
import shutil
import subprocess

import pytest
from evaluated_runs import EASE, entry, make_run

import vdp
from vdp import comparison
from vdp.comparison import figure, formats, tables, write
from vdp.main import run as command_line
from vdp.modes import compare


def test_names_with_commas_can_be_joined(tmp_path, monkeypatch):
    """As a sweep over two keys makes them."""
    monkeypatch.chdir(tmp_path)
    for name in ("prior=vdm,latent=8/seed-0", "prior=vdm,latent=8/seed-1", "b", "a+b"):
        (tmp_path / name).mkdir(parents=True)
    both = "prior=vdm,latent=8/seed-0+prior=vdm,latent=8/seed-1"
    assert compare._names(f"{both},b") == [both, "b"]
    assert compare._names("a+b,b,nowhere") == ["a+b", "b", "nowhere"]


def test_the_command_writes_every_format(pair, tmp_path, capsys):
    out = tmp_path / "out"
    runs = ",".join(map(str, pair))
    assert command_line(["--mode=compare", f"--runs={runs}", f"--out={out}"]) == 0
    assert "better" in capsys.readouterr().out
    page = (out / "comparison.md").read_text()
    assert "| elbo | plain - better | -0.5" in page
    with (out / "comparison.csv").open(newline="") as file:
        (row,) = [line for line in csv.DictReader(file) if line["kind"] == "difference"]
    assert (row["model"], row["minus"], row["better"]) == ("plain", "better", "better")
    assert float(row["mean"]) == pytest.approx(-0.5, abs=1e-5)
    assert (out / "comparison.png").stat().st_size > 5000
    text = (out / "comparison.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == 2
    for line in text.splitlines():
        if line.endswith(r"\\"):
            assert line.replace(r"\&", "").count("&") in (2, 5)


def test_what_is_no_bound_is_marked_and_no_measure_of_the_others(tmp_path):
    wrong = {"elbo": entry(EASE + 30) | {"not_a_bound": "its weights are not normalised"}}
    noisy = {"elbo": entry(EASE - 1) | {"noisy": True}}
    runs = [
        make_run(tmp_path / "wrong", estimators=wrong, keep=False),
        make_run(tmp_path / "right", prior="vdm"),
        make_run(tmp_path / "loose", prior="flow", estimators=noisy, keep=False),
    ]
    found = vdp.compare(runs)
    lines = list(csv.DictReader(formats.as_csv(found).splitlines()))
    marks = {row["model"]: (row["noisy"], row["not_a_bound"]) for row in lines
             if row["kind"] == "estimate"}  # fmt: skip
    assert marks["right"] == ("False", "")
    assert marks["loose"] == ("True", "")
    assert marks["wrong"] == ("False", "its weights are not normalised")
    drawn = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figure.style, "save", lambda made, *_: drawn.append(made))
        figure.save(found, tmp_path / "picture.png")
    left, right = drawn[0].axes
    drawn_at = {round(line.get_ydata()[0]): line.get_xdata()[0] for line in right.lines
                if line.get_marker() == "o"}  # fmt: skip
    assert drawn_at == {0: pytest.approx(30, abs=0.5), 2: pytest.approx(-1, abs=0.5)}
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == ["wrong (not a bound)", "right", "loose (noisy)"]
    assert right.get_xlabel().startswith("minus right")


def test_a_name_that_is_not_utf_8_is_written_with_a_question_mark(pair, tmp_path):
    odd = make_run(tmp_path / "z\udcfcr", prior="flow")
    (path, *_) = write.write(vdp.compare([pair[0], odd]), tmp_path / "out")
    assert "| z?r |" in path.read_text()


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_latex_compiles(tmp_path):
    runs = [make_run(tmp_path / "a_b & 50%", prior="vdm"), make_run(tmp_path / "#1 ~^{x}")]
    (tmp_path / "table.tex").write_text(write.latex(vdp.compare(runs)))
    head = r"\documentclass{article}\usepackage{booktabs}"
    document = head + r"\begin{document}\input{table}\end{document}"
    (tmp_path / "document.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_latex_means_what_is_written():
    assert formats.escaped("a_b & 50% ± 1 {x}^~\\") == (
        r"a\_b \& 50\% $\pm$ 1 \{x\}\textasciicircum{}\textasciitilde{}\textbackslash{}"
    )


def test_many_arms_are_rows(tmp_path):
    names = ("normal", "mixture", "vamp", "flow", "ddpm", "vdm")
    runs = [make_run(tmp_path / name, prior=name) for name in names]
    runs.append(make_run(tmp_path / "wide", fields=[("model.latent_shape", "(3,)")]))
    header, rows = tables.arms(vdp.compare(runs))
    assert header[:2] == ["model", "elbo, nats"]
    assert [row[0] for row in rows] == [*names, "wide"]
    assert comparison.Comparison is type(vdp.compare(runs[:2]))
