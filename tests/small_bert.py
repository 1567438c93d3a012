"""The small BERT, and the gin file of it that tests share."""

from scripts.small_instances.bert import SIZES as SIZES
from scripts.small_instances.bert import TOKENS as TOKENS
from scripts.small_instances.bert import config as config
from scripts.small_instances.bert import encoder as encoder
from scripts.small_instances.bert import inputs as inputs
from scripts.small_instances.bert import pretrainer as pretrainer
from scripts.small_instances.bert import randomize as randomize
from scripts.small_instances.bert import write_vocabulary as write_vocabulary

# It says what `SIZES` says.
GIN_FILE = "tests/testdata/small_bert.gin"
