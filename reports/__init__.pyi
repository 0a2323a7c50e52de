from .chosen import Shown as Shown
from .chosen import WrongChoice as WrongChoice
from .chosen import shown as shown
from .drawn import draw as draw
from .sweeps import UnknownFigure as UnknownFigure
from .tables.terminal import terminal_table as terminal_table
from .write import write_report as write_report
