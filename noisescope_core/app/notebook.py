"""What a notebook needs to run unchanged on Databricks, in Jupyter and as a script."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from noisescope_core.errors import UsageError

_NUMBERS = count(1)
"""Numbers of the figures that this process saves, for their names."""

DOTS_PER_INCH = 100
"""Resolution of figures: chosen, matplotlib's default in notebooks."""


def parameters(dbutils: Any, **defaults: Any) -> dict[str, Any]:
    """Ask for the parameters of a notebook: widgets on Databricks, else environment variables.

    The variable of `images` is NOISESCOPE_IMAGES.

    Parameters
    ----------
    dbutils : `globals().get("dbutils")`, which is None outside Databricks
    **defaults : name to default
        A value gets its default's type. A dict is written as `KEY=VALUE`, parted by blanks. The
        default of a folder is None: on a laptop the notebook then makes a fresh one, on Databricks
        the widget must be filled in, because executors do not see the driver's folders.

    Returns
    -------
    dict
        Name to value, in the order of the defaults.

    Raises
    ------
    UsageError
        Naming all parameters that are missing or written wrongly.

    Examples
    --------
    >>> parameters(None, size=96, work=None, settings={})
    {'size': 96, 'work': None, 'settings': {}}
    """
    values, problems = {}, []
    for name, default in defaults.items():
        if dbutils is None:
            text = os.environ.get(f"NOISESCOPE_{name.upper()}", "")
        else:
            dbutils.widgets.text(name, "" if default in (None, {}) else str(default))
            text = dbutils.widgets.get(name).strip()
            if not text and default is None:
                problems.append(f"{name}: fill in the widget, executors must see what it names")
        try:
            values[name] = _read(text, default) if text else default
        except ValueError:
            kind = "KEY=VALUE, parted by blanks" if isinstance(default, Mapping) else "a number"
            problems.append(f"{name}: must be {kind}, got {text!r}")
    if problems:
        raise UsageError("; ".join(problems))
    return values


def show(*results: object) -> None:
    """Show tables and figures: below the cell of a notebook; a script prints and saves them.

    Figures of a script are PNGs in a fresh temporary folder; their names are printed.

    Parameters
    ----------
    *results : pandas.DataFrame, matplotlib.figure.Figure or whatever prints
    """
    notebook = sys.modules.get("IPython")
    inside = notebook is not None and notebook.get_ipython() is not None
    for result in results:
        if inside:
            from IPython.display import Image, display

            display(Image(_png(result)) if isinstance(result, Figure) else result)
        elif isinstance(result, Figure):
            file = _folder() / f"{next(_NUMBERS):02d}.png"
            file.write_bytes(_png(result))
            print(f"figure: {file}")
        else:
            print(result.to_string(index=False) if hasattr(result, "to_string") else result)


def _read(text: str, default: Any) -> Any:
    """Read a parameter as a value of its default's type; ValueError if it is written wrongly."""
    if isinstance(default, Mapping):
        return dict(word.split("=", 1) for word in text.split())
    return text if default is None else type(default)(text)


def _png(figure: Figure) -> bytes:
    # IPython itself draws figures only after pyplot was imported.
    data = BytesIO()
    figure.savefig(data, format="png", dpi=DOTS_PER_INCH)
    return data.getvalue()


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="noisescope-figures-"))
