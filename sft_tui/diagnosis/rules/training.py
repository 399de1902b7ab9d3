"""What training programs say: MindFormers, Transformers, torch_npu scripts; models, weights, tokenizers, numbers."""

from __future__ import annotations

from sft_tui.diagnosis.rules.rule import Force, Rule, cause, seen

GENERIC = Force.GENERIC

WEIGHTS = (
    cause("please check load_checkpoint", "checkpoint_load"),
    cause("load_checkpoint", "checkpoint_load", r"(?:not exist|not found|is empty|invalid|no such|corrupt|fail|incorrect|is wrong|must be|should be)"),
    cause("failed to read the checkpoint", "checkpoint_load"),
    cause("to load the checkpoint", "checkpoint_load", r"fails? to load the checkpoint"),
    cause("loaded parameter dict is empty", "checkpoint_load"),
    cause("load_param_into_net", "checkpoint_load", r"check whether the checkpoint|same shape|fail|not loaded|must be"),
    cause("checkpoint you loaded is correct", "checkpoint_load"),
    cause("size mismatch for", "checkpoint_load"),
    cause("in loading state_dict", "checkpoint_load"),
    cause("missing key(s) in state_dict", "checkpoint_load"),
    cause("safetensorerror", "checkpoint_load"),
    cause("safetensors", "checkpoint_load", r"headertoolarge|invalidheader|incomplete|not exist|not found|no such file|corrupt|fail"),
    cause("metadataincompletebuffer", "checkpoint_load"),
    cause("pytorchstreamreader failed", "checkpoint_load"),
    cause("unpicklingerror", "checkpoint_load"),
    cause("invalid load key", "checkpoint_load"),
    cause("truncated message", "checkpoint_load"),
    cause("error parsing message", "checkpoint_load", sure=False),
    cause("ckpt", "checkpoint_load", r"(?:not exist|not found|no such file|corrupt|damaged|not a valid|invalid|is empty|wrong)", sure=False),
    cause(".ckpt", "checkpoint_load", r"(?:\.ckpt\S* (?:is|does) not exist|no such file.{0,200}\.ckpt|open.{0,40}\.ckpt.{0,40}fail)"),
    cause("pytorch_model.bin", "checkpoint_load", r"not exist|not found|no such file|does not appear to have|no file named"),
    cause("does not appear to have a file named", "checkpoint_load", r"safetensors|pytorch_model|\.bin"),
    cause("no file named", "checkpoint_load", r"safetensors|pytorch_model|\.bin|\.ckpt"),
    cause("checkpoint", "checkpoint_load", r"checkpoint.{0,80}(?:not exist|not found|corrupt|damaged|no such file|not complete|incomplete)|no checkpoint.{0,20}found|transform checkpoint.{0,40}fail"),
    cause("state dict", "checkpoint_load", r"different number of parameter groups"),
    cause("state_dict", "checkpoint_load", r"keyerror|mismatch", sure=False),
)  # fmt: skip

TOKENIZER = (
    cause("modelproto", "tokenizer", r"could not parse|parse"),
    cause("tokenizer", "tokenizer", r"tokenizer.{0,80}(?:not found|not exist|no such file|can'?t be found|cannot be found|is none|must be|invalid|fail|not support|mismatch|does not match)|can'?t load tokenizer|cannot load tokenizer|unable to load.{0,20}tokenizer|fail.{0,30}tokenizer"),
    cause("no such file", "tokenizer", r"tokenizer|vocab|merges\.txt"),
    cause("sentencepiece", "tokenizer", r"not found|no such|internal|fail|error"),
    cause("vocab file", "tokenizer", r"not found|not exist|no such|can'?t find"),
    cause("vocab_file", "tokenizer", r"not found|not exist|no such|none|should|must"),
    cause("vocab.json", "tokenizer", r"not found|not exist|no such"),
    cause("data did not match any variant of untagged enum", "tokenizer"),
    cause("have a padding token", "tokenizer"),
    cause("chat_template is not set", "tokenizer"),
    cause("no template argument was passed", "tokenizer"),
    cause("unable to load vocabulary", "tokenizer"),
    cause("token", "tokenizer", r"token(?:s| ids?).{0,60}(?:exceed|out of range|larger than|greater than).{0,40}vocab"),
)  # fmt: skip

NUMBERS = (
    cause("consecutive times greater than threshold", "overflow_nan", r"stop training", remedy="norm"),
    cause("silentcheck", "overflow_nan", r"nan|inf"),
    cause("loss is nan", "overflow_nan"),
    cause("loss is inf", "overflow_nan"),
    cause("loss: nan", "overflow_nan", warned=True),
    cause("nan", "overflow_nan", r"(?:found|detected|contains?|got|encountered|has) (?:a )?nan\b|nan (?:or|and) inf|nan/inf|nan loss|loss.{0,20}\bnan\b|\bnan\b.{0,30}(?:detected|found|encountered)|(?:is|are|be) nan\b"),
    cause("loss scale", "overflow_nan", r"minimum|too small|less than|decreas\w+ .{0,30}limit|reached"),
    cause("loss_scale", "overflow_nan", r"minimum|too small"),
    cause("gradient overflow", "overflow_nan", r"stop|exit|error|abort", sure=False),
    cause("overflow", "overflow_nan", r"(?:aicore|operator|kernel).{0,30}overflow|overflow.{0,20}(?:detected|error)", sure=False),
    cause("e68066", "overflow_nan", code="E68066"),
)  # fmt: skip

SETTINGS = (
    cause("unexpected keyword argument", "config_other", remedy="argument"),
    cause("missing", "config_other", r"missing \d+ required (?:positional|keyword)", remedy="argument"),
    cause("divisible", "config_parallel", r"(?:parallel|world[_ ]?size|device|\btp\b|\bpp\b|\bdp\b|\bep\b|\bcp\b|stage|rank|expert|micro).{0,160}divisible|divisible.{0,120}(?:parallel|world[_ ]?size|device|\btp\b|\bpp\b|\bdp\b|\bep\b|\bcp\b|stage|rank|expert)"),
    cause("divisible", "config_other", r"must be divisible|not divisible|divisible by", sure=False),
    cause("parallel", "config_parallel", r"(?:data_parallel|model_parallel|pipeline_stage|tensor_model_parallel_size|pipeline_model_parallel_size|context_parallel|expert_parallel|parallel_mode|parallel_config)\S*.{0,120}(?:must|should|invalid|not equal|not support|illegal|greater|larger|exceed)"),
    cause("world size", "config_parallel", r"not equal|must|should|not match|inconsistent"),
    cause("world_size", "config_parallel", r"not equal|must|should|not match|inconsistent"),
    cause("micro_batch_num", "config_parallel", r"must|should|invalid|less|greater"),
    cause("global batch size", "config_parallel", r"must|should|not equal|divisible", sure=False),
    cause("yaml", "config_other", r"yaml\.(?:scanner|parser|constructor)|(?:could not|fail\w*|error) .{0,30}pars\w+.{0,60}yaml|\.ya?ml.{0,40}(?:not exist|not found|no such file)|no such file.{0,80}\.ya?ml"),
    cause("unrecognized arguments", "config_other", remedy="argument"),
    cause("invalid choice", "config_other", remedy="argument"),
    cause("the following arguments are required", "config_other", remedy="argument"),
    cause("config.json", "config_other", r"not exist|not found|no such file|does not appear|no file named", sure=False),
    cause("is not a supported", "config_other", sure=False),
    cause("not in the supported list", "config_other", r"error|raise", sure=False),
    cause("not registered", "config_other", r"(?:class|type|module).{0,60}not registered|can'?t find class", sure=False),
    cause("can't find class", "config_other", remedy="argument"),
    cause("unknown model", "config_other"),
    cause("unrecognized model", "config_other"),
    cause("unrecognized configuration class", "config_other"),
    cause("tensors must be contiguous", "config_other", remedy="script"),
    cause("tensors to be on the same device", "config_other", sure=False, remedy="script"),
    cause("modified by an inplace operation", "config_other", sure=False, remedy="script"),
    cause("leaf variable that requires grad", "config_other", sure=False, remedy="script"),
    cause("does not require grad", "config_other", sure=False, remedy="script"),
    cause("expected scalar type", "config_other", sure=False, remedy="script"),
    cause("must have the same dtype", "config_other", sure=False, remedy="script"),
    cause("index out of range in self", "config_other", sure=False),
    cause("default process group has not been initialized", "config_parallel", remedy="msrun"),
    cause("duplicate", "config_parallel", r"duplicate.{0,20}(?:gpu|npu|device|rank)"),
    seen(GENERIC, "err02002", "config_other", code="ERR02002", remedy="script"),
    seen(GENERIC, "err01002", "config_other", code="ERR01002", remedy="script"),
    seen(GENERIC, "err01003", "config_other", code="ERR01003", remedy="script"),
)  # fmt: skip

RULES: tuple[Rule, ...] = (*WEIGHTS, *TOKENIZER, *NUMBERS, *SETTINGS)
