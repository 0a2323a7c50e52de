"""What is known of every cell, and how it is shown: records, and the texts in them. Reports import nothing else."""

from bench.records.record import Record as Record
from bench.records.record import to_frame as to_frame
from bench.records.texts import LogLines as LogLines
from bench.records.texts import neutral as neutral
from bench.records.texts import printable as printable
