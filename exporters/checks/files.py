"""Checks of the files, without loading the model."""

from __future__ import annotations

import os
import re
from typing import Any

from .candidate import Candidate
from .harness import FILES
from .harness import OPERATIONS
from .harness import check
from .results import BASIC
from .results import Finding

# What graphs of this repository's models are made of. Nothing here reads or
# writes a file, runs Python, prints, or reaches the network.
ALLOWED_OPERATIONS = frozenset(
  """
  Abs Add AddN AddV2 All Any ArgMax Assert AssignAddVariableOp
  AssignSubVariableOp AssignVariableOp AvgPool BatchMatMulV2 BiasAdd
  BroadcastArgs BroadcastTo Bucketize Cast Ceil ClipByValue Concat ConcatOffset
  ConcatV2 Const Conv2D Cos CudnnRNNBackpropV3 CudnnRNNV3 Cumsum
  DepthwiseConv2dNative DivNoNan Einsum Elu EnsureShape Equal Erf Erfc Exp
  ExpandDims FFT2D Fill Floor FloorDiv FloorMod FusedBatchNormV3 Gather GatherNd
  GatherV2 Greater GreaterEqual Identity IdentityN If InvertPermutation IsFinite
  L2Loss LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr
  MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NoOp NotEqual OneHot
  OnesLike Pack Pad PadV2 PartitionedCall Placeholder PlaceholderWithDefault Pow
  Prod RaggedBincount RaggedCross RaggedGather RaggedRange RaggedTensorToSparse
  RaggedTensorToTensor RandomStandardNormal RandomUniform RandomUniformInt Range
  Rank ReadVariableOp Real RealDiv Relu Relu6 Reshape ResizeBilinear
  ResourceGather ReverseSequence ReverseV2 Round Rsqrt ScatterNd Select SelectV2
  Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Split Sqrt Square
  SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StatelessWhile
  StopGradient StridedSlice Sub Sum Tanh TensorListFromTensor TensorListGetItem
  TensorListReserve TensorListSetItem TensorListStack TensorScatterUpdate Tile
  TopKV2 Transpose Unique Unpack UnsortedSegmentSum VarHandleOp
  VarIsInitializedOp Where While ZerosLike
  CaseFoldUTF8 NormalizeUTF8 NormalizeUTF8WithOffsetsMap RegexSplitWithOffsets
  SentencepieceOp SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp
  StaticRegexFullMatch StaticRegexReplace StringLength StringLower StringStrip
  TFText>RoundRobinTrim UnicodeTranscode
  UnicodeScriptTokenizeWithOffsets WordpieceTokenizeWithOffsets
  """.split()
)
# Tables are filled from assets.
_TABLE_OPERATIONS = frozenset(
  """
  HashTableV2 InitializeTableFromTextFileV2 LookupTableFindV2
  LookupTableSizeV2
  """.split()
)
# Only where TensorFlow itself saves and restores the variables.
SAVER_OPERATIONS = frozenset(
  """
  DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename
  StaticRegexFullMatch StringJoin
  """.split()
)
SAVER_FUNCTIONS = ("__inference__traced_save", "__inference__traced_restore")


@check(OPERATIONS, level=BASIC, needs=None, unit=OPERATIONS)
def _operations(candidate: Candidate) -> Finding:
  refused = refused_operations(candidate.proto.meta_graphs[0].graph_def)
  return Finding(
    len(refused), 0, " ".join(sorted(refused)) or "outside the list"
  )


def refused_operations(graph: Any) -> set[str]:
  """Returns the operations of a GraphDef that no model needs."""
  allowed = ALLOWED_OPERATIONS | _TABLE_OPERATIONS
  refused = {n.op for n in graph.node} - allowed - SAVER_OPERATIONS
  for function in graph.library.function:
    operations = {node.op for node in function.node_def}
    if function.signature.name.startswith(SAVER_FUNCTIONS):
      operations -= SAVER_OPERATIONS
    refused |= operations - allowed
  return refused


@check("no local path", level=BASIC, needs=None, unit=FILES)
def _no_local_path(candidate: Candidate) -> Finding:
  # As a whole word: "bert" may well be the name of a machine. What follows a
  # path may be anything.
  patterns = {
    text: re.compile(
      rb"(?<![\w-])"
      + re.escape(text.encode())
      + (b"" if os.sep in text else rb"(?![\w-])")
    )
    for text in candidate.private
  }
  found = set()
  for folder, _, names in os.walk(candidate.path):
    for name in names:
      path = os.path.join(folder, name)
      relative = os.path.relpath(path, candidate.path)
      # A vocabulary may hold any word; weights hold none.
      if relative.startswith(("assets" + os.sep, "variables" + os.sep)):
        continue
      with open(path, "rb") as f:
        content = f.read()
      found |= {
        f"{text!r} in {relative}"
        for text, pattern in patterns.items()
        if pattern.search(content)
      }
  return Finding(len(found), 0, "; ".join(sorted(found)))


@check("no weight in the graph", level=BASIC, needs=None, unit=FILES)
def _no_weight_in_the_graph(candidate: Candidate) -> Finding:
  graph = candidate.proto.meta_graphs[0].graph_def
  nodes = list(graph.node)
  for function in graph.library.function:
    nodes += function.node_def
  largest = max(
    (n.attr["value"].tensor.ByteSize() for n in nodes if n.op == "Const"),
    default=0,
  )
  return Finding(largest, 65536, "bytes of the largest constant")
