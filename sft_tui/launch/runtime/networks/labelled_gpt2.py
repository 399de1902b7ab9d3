"""GPT-2 that is trained on the labels of its rows, as Llama is; MindFormers' own takes its attention mask for that.

There a 0 hides a token from the loss and from the attention of all others: a prompt that is not to be trained on would
not be read either. Columns go by position, so the labels come second, which suits the PetModel of LoRA as well.
"""

from __future__ import annotations

from mindformers.models.gpt2 import GPT2LMHeadModel
from mindformers.tools.register import MindFormerModuleType, MindFormerRegister
from mindspore import dtype as mstype
from mindspore import ops

IGNORE_TOKEN_ID = -100


@MindFormerRegister.register(MindFormerModuleType.MODELS)
class LabelledGPT2LMHeadModel(GPT2LMHeadModel):  # type: ignore[misc]
    """Loss over the places whose next token has a label.

    Rows are int32 [batch, seq_length + 1] in training, [batch, seq_length] in evaluation; a label is the token of its
    own place, or -100. In evaluation it returns logits, tokens and what counts: 1.0 or 0.0 for each place. MindFormers'
    own returns its mask + 1, so that padding weighs 1 and a token 2.
    """

    def construct(  # type: ignore[no-untyped-def] # noqa: ANN201
        self, input_ids, labels=None, input_position=None, position_ids=None, attention_mask=None,  # noqa: ANN001
        input_embeds=None, init_reset=True, batch_valid_length=None, batch_index=None, zactivate_len=None,  # noqa: ANN001
        block_tables=None, slot_mapping=None,  # noqa: ANN001
    ):  # fmt: skip
        if labels is None:  # it generates
            return super().construct(
                input_ids, attention_mask, input_embeds, None, input_position, position_ids, init_reset,
                batch_valid_length,
            )  # fmt: skip
        batch_size, seq_length = input_ids.shape
        counted = self.cast(self.not_equal(labels, IGNORE_TOKEN_ID), mstype.float32)
        tokens = input_ids
        if self.training:
            tokens = self.stridedslice(input_ids, (0, 0), (batch_size, seq_length - 1), (1, 1))
        # causal: what is padded on the right is seen by padding alone
        seen = self.get_attention_mask(self.cast(ops.ones_like(tokens), mstype.float32))
        states, table = self.backbone(tokens, seen, None, True, None)
        logits = self.head(states, table)
        if not self.training:
            return self.reshape(logits, (batch_size, seq_length, -1)), input_ids, counted
        counted = self.stridedslice(counted, (0, 1), (batch_size, seq_length), (1, 1))
        wanted = self.stridedslice(input_ids, (0, 1), (batch_size, seq_length), (1, 1))
        return self.loss(logits, self.reshape(wanted, (-1,)), self.reshape(counted, (-1,)))
