from sft_tui.checkpoint.model_config import ModelConfig as ModelConfig
