"""For people who write Python: `import urial; pair = urial.load(); pair.compare("Why do cats purr?")`.

Start with `pair.py`; `asking.py` says what can be asked, `view.py` how a comparison shows itself. Read `records.py` for
what a comparison holds and `compare/events.py` for what `stream` gives. Importing this loads no model.
"""

from urial.notebook.asking import ask
from urial.notebook.pair import LoadedPair, load
from urial.notebook.view import Comparisons, NotebookComparison

__all__ = ["Comparisons", "LoadedPair", "NotebookComparison", "ask", "load"]
