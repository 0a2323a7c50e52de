from .kit import examine as examine
from .kit import properties_of as properties_of
from .properties import Finding as Finding
from .properties import Property as Property
from .subject import Subject as Subject
from .subject import subject_of as subject_of
from .with_pytest import check_plugin as check_plugin
