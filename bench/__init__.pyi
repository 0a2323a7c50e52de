from .api import run as run
from .errors import RequestError as RequestError
from .plugin import Attack as Attack
from .plugin import AttackContext as AttackContext
from .plugin import Case as Case
from .plugin import Context as Context
from .plugin import Dataset as Dataset
from .plugin import Defense as Defense
from .plugin import ImageSpec as ImageSpec
from .plugin import Known as Known
from .plugin import LabelledImages as LabelledImages
from .plugin import Model as Model
from .plugin import Objective as Objective
from .plugin import Oracle as Oracle
from .plugin import Plugin as Plugin
from .plugin import Poisoned as Poisoned
from .plugin import Prediction as Prediction
from .plugin import Preset as Preset
from .plugin import Repair as Repair
from .plugin import Runtime as Runtime
from .plugin import Secret as Secret
from .plugin import Splits as Splits
from .results import Results as Results
from .results import load as load

__version__: str
