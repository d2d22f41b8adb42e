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


def parameters(dbutils: Any, **defaults: Any) -> dict[str, Any]:
    """Ask for the parameters of a notebook: widgets on Databricks, else environment variables.

    The variable of `images` is NOISESCOPE_IMAGES.

    Parameters
    ----------
    dbutils : `globals().get("dbutils")`, which is None outside Databricks
    **defaults : name to default
        A value has its default's type. A dict is written as `KEY=VALUE`, parted by blanks. A folder
        has the default None, for which a fresh one is made on a laptop; on Databricks it must be
        named, because executors do not see the driver's.

    Returns
    -------
    dict
        Name to value.

    Raises
    ------
    UsageError
        Naming all parameters that are missing or no numbers.

    Examples
    --------
    >>> parameters(None, size=96, work=None, settings={})
    {'size': 96, 'work': None, 'settings': {}}
    """
    told, wrong = {}, []
    for name, default in defaults.items():
        if dbutils is None:
            text = os.environ.get(f"NOISESCOPE_{name.upper()}", "")
        else:
            dbutils.widgets.text(name, "" if default in (None, {}) else str(default))
            text = dbutils.widgets.get(name).strip()
            if not text and default is None:
                wrong.append(f"{name}: fill in the widget, executors must see what it names")
        try:
            told[name] = _read(text, default) if text else default
        except ValueError:
            kind = "KEY=VALUE, parted by blanks" if isinstance(default, Mapping) else "a number"
            wrong.append(f"{name}: must be {kind}, got {text!r}")
    if wrong:
        raise UsageError("; ".join(wrong))
    return told


def show(*shown: object) -> None:
    """Show tables and figures: below the cell of a notebook; a script prints and saves them.

    Figures of a script are PNGs in a fresh temporary folder; their names are printed.

    Parameters
    ----------
    *shown : pandas.DataFrame, matplotlib.figure.Figure or whatever prints
    """
    notebook = sys.modules.get("IPython")
    inside = notebook is not None and notebook.get_ipython() is not None
    for one in shown:
        if inside:
            from IPython.display import Image, display

            display(Image(_png(one)) if isinstance(one, Figure) else one)
        elif isinstance(one, Figure):
            file = _folder() / f"{next(_NUMBERS):02d}.png"
            file.write_bytes(_png(one))
            print(f"figure: {file}")
        else:
            print(one.to_string(index=False) if hasattr(one, "to_string") else one)


def _read(text: str, default: Any) -> Any:
    if isinstance(default, Mapping):
        return dict(word.split("=", 1) for word in text.split())
    return text if default is None else type(default)(text)


def _png(figure: Figure) -> bytes:
    # Not left to IPython: it knows figures once pyplot was imported, and not before.
    data = BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return data.getvalue()


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="noisescope-figures-"))
