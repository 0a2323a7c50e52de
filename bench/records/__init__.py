"""What is known of every cell, and how it is shown: records, and the texts in them. Reports import nothing else."""

from bench.records.files import RECORD_FILES as RECORD_FILES
from bench.records.files import RECORD_SUFFIXES as RECORD_SUFFIXES
from bench.records.files import UnreadableRecords as UnreadableRecords
from bench.records.files import lines_of as lines_of
from bench.records.files import merged as merged
from bench.records.files import once as once
from bench.records.files import read_all as read_all
from bench.records.files import read_records as read_records
from bench.records.files import write_records as write_records
from bench.records.record import Record as Record
from bench.records.record import to_frame as to_frame
from bench.records.texts import LogLines as LogLines
from bench.records.texts import neutral as neutral
from bench.records.texts import printable as printable
