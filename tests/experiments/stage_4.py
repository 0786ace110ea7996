"""Stage 4: mask and softmax cost little more than the matrix product of stage 3."""

from .stage_3 import Speed

MASK_AND_SOFTMAX_IS_FASTER = Speed(
    name="test_head_ver_3_is_many_times_faster_than_two_loops",
    stage=4,
    head="head_v3.HeadVer3",
    claim="mask, softmax and one matrix product are many times as fast as two loops",
    reason="Is there a loop in it still, over tokens or over examples? wei @ x needs none.",
)
