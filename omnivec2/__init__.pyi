from omnivec2.errors import InputError as InputError
from omnivec2.errors import ModelNotReadyError as ModelNotReadyError
from omnivec2.errors import OmniVecError as OmniVecError
from omnivec2.errors import OverloadedError as OverloadedError
from omnivec2_api.answers.answer import Answer as Answer
from omnivec2_api.answers.answer import AnswerNote as AnswerNote
from omnivec2_api.answers.answer_types import Classification as Classification
from omnivec2_api.answers.answer_types import Detection as Detection
from omnivec2_api.answers.answer_types import Embedding as Embedding
from omnivec2_api.answers.answer_types import Forecast as Forecast
from omnivec2_api.answers.answer_types import Regression as Regression
from omnivec2_api.answers.answer_types import Segmentation as Segmentation
from omnivec2_api.answers.answer_types import Summary as Summary
from omnivec2_api.async_client import AsyncClient as AsyncClient
from omnivec2_api.client import Client as Client
from omnivec2_api.head_info import HeadInfo as HeadInfo
from omnivec2_api.local_model import Model as Model
from omnivec2_api.local_model import load as load

__version__: str
__all__: list[str]
_API: dict[str, str]
