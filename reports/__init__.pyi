from .drawn import draw as draw
from .sweeps import UnknownFigure as UnknownFigure
from .tables.terminal import terminal_table as terminal_table
from .write import write_report as write_report
