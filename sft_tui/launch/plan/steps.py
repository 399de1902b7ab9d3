"""Builds the plan: from a profile and the facts to the ordered commands. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from sft_tui.core.facts import Facts
from sft_tui.core.plan import Output, Plan, PlannedFile, Step
from sft_tui.core.profile import Dataset, Profile
from sft_tui.core.profile_defaults import CHAT_TEMPLATE
from sft_tui.families.family import Route
from sft_tui.families.table import FAMILIES
from sft_tui.launch.plan.msrun import build_msrun, worker_log
from sft_tui.launch.plan.nodes import ON_NODES, NodeSteps, facts_on, profile_on, spread
from sft_tui.launch.plan.text_steps import TEXT, text_arguments
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.plan.yaml_texts import YamlTexts
from sft_tui.launch.yaml.run_spec import RunMode, is_distributed, saves_on_request, training_steps
from sft_tui.launch.yaml.workload import tokens_per_step


def prompt_template(profile: Profile, route: Route) -> str:
    """How questions and answers are written: on the direct route as the model's own folder says."""
    return CHAT_TEMPLATE if route == "direct" else profile.dataset.template


def build_plan(profile: Profile, facts: Facts) -> Plan:
    """The steps of the profile on this machine, and from here on its nodes.

    A step that the route does without says why. The YAML is built once, whatever the number of nodes.
    """
    hosts = profile.nodes.hosts
    texts = YamlTexts(profile, facts, work_dirs=tuple(host.work_dir for host in hosts if host.work_dir))
    steps = 0 if facts.foretold else training_steps(profile, facts)
    numbers = _Numbers(tokens_per_step(profile, facts), steps)
    head = _PlanBuilder(profile, facts, 0, texts, numbers)
    plan = Plan(
        profile=profile.name,
        rehearsal=profile.rehearsal,
        stop_grace_seconds=profile.training.stop_grace_seconds,
        steps=tuple(_all_steps(head)),
        files=head.files(),
    )
    if not hosts:
        return plan
    on_nodes = []
    for rank, host in enumerate(hosts):
        node = _PlanBuilder(profile_on(profile, host), facts_on(facts, host), rank, texts, numbers, part=True)
        on_nodes.append(NodeSteps(dict(zip(ON_NODES, _on_nodes(node))), node.files()))
    return spread(plan, profile, facts, on_nodes)


@dataclass(frozen=True)
class _Numbers:
    """Of a training, the same on all nodes."""

    tokens_per_step: int
    total_steps: int


def _all_steps(builder: _PlanBuilder) -> list[Step]:
    return [
        builder.inspect(),
        builder.convert_weight(),
        builder.convert_alpaca(),
        *([builder.convert_alpaca_eval()] if builder.profile.dataset.eval_path and not builder.facts.text else []),
        builder.preprocess("train"),
        builder.preprocess("eval"),
        *_on_nodes(builder),
        *([builder.export()] if builder.facts.direct else []),
        builder.summary(),
    ]


def _on_nodes(builder: _PlanBuilder) -> tuple[Step, ...]:
    """The steps that a node may have a part of."""
    return (
        builder.evaluate("evaluate-before", "Evaluate before training", builder.weights),
        builder.train(),
        builder.evaluate("evaluate-after", "Evaluate after training", builder.paths.finetuned),
    )


def needed_devices(profile: Profile, mode: RunMode, visible_npus: tuple[int, ...]) -> tuple[str, ...]:
    """What a step has to itself: two trainings on one CPU would only slow each other down."""
    if profile.environment.device_target == "CPU":
        return ("cpu",)
    count = profile.nodes.local_worker_num if is_distributed(profile, mode) else 1
    numbers = (visible_npus or tuple(range(count)))[:count]
    return tuple(f"npu:{number}" for number in numbers)


class _PlanBuilder:
    def __init__(
        self, profile: Profile, facts: Facts, node_rank: int, texts: YamlTexts, numbers: _Numbers, *, part: bool = False
    ) -> None:
        self.profile = profile
        self.texts, self.numbers = texts, numbers
        self.part = part  # of a training on several nodes
        self.node_rank = node_rank
        self.facts = facts
        self.paths = work_paths(profile)
        self.direct = facts.direct
        # what training starts from
        self.weights = self.paths.weights(profile, self.direct)
        self.evaluation: RunMode = "held_out" if self.direct else "eval"
        self._no_evaluation = (
            ""
            if profile.training.evaluate and facts.eval_records
            else "no held-out data, or evaluation is switched off"
        )

    def inspect(self) -> Step:
        model, base = self.profile.model, self.profile.training.base_yaml
        if not model.ckpt:
            argv = (*self.facts.own_command, "inspect", model.hf_dir)
            return self._step("inspect", "Inspect the model folder", argv, (), ())
        argv = (
            *self.facts.own_command, "inspect", model.ckpt,
            *(("--base_yaml", base) if base else ()), *(("--config_path", model.hf_dir) if model.hf_dir else ()),
        )  # fmt: skip
        return self._step("inspect", "Inspect the ready checkpoint", argv, (), ())

    def convert_weight(self) -> Step:
        ready = self.profile.model.ckpt
        source = ready or self.profile.model.hf_dir
        argv = (
            *self.facts.own_command, "convert-weight", "--model", self.profile.model.family,
            "--input_path", source, "--output_path", self.paths.ckpt,
            "--dtype", self.profile.weights.dtype, "--force",
            *(("--verify",) if self.profile.weights.verify else ()),
        )  # fmt: skip
        outputs = (Output(path=self.paths.ckpt, kind="ckpt"),)
        step = self._step("convert-weight", "Convert weights", argv, (source,), outputs)
        if ready:
            return step.model_copy(update={"not_needed": f"weights are taken from {ready} as they are"})
        if self.direct:
            return step.model_copy(update={"not_needed": "this MindFormers loads the Hugging Face folder as it is"})
        return step

    def convert_alpaca(self) -> Step:
        data, output = self.profile.dataset, self.paths.conversation("train")
        argv = self._convert(data.train_path, output)
        outputs = [output]
        if not data.eval_path and self.facts.eval_records:
            outputs.append(self.paths.conversation("eval"))
            argv = (*argv, "--eval_output_path", outputs[1], "--eval_fraction", str(data.eval_fraction))
        step = self._step(
            "convert-alpaca", "Convert alpaca data", argv, (data.train_path,),
            tuple(Output(path=path, kind="conversation") for path in outputs),
        )  # fmt: skip
        return step.model_copy(update={"not_needed": TEXT}) if self.facts.text else step

    def _convert(self, path: str, output: str) -> tuple[str, ...]:
        data = self.profile.dataset
        argv = (*self.facts.own_command, "convert-alpaca", "--data_path", path, "--output_path", output)
        if data.columns:
            argv = (*argv, "--columns", data.columns)
        if data.on_unread != "warn":
            argv = (*argv, "--on_unread", data.on_unread)
        if data.on_error == "fail":
            return argv
        return (*argv, "--on_error", data.on_error, "--max_rejected", str(data.max_rejected))

    def convert_alpaca_eval(self) -> Step:
        path, output = self.profile.dataset.eval_path, self.paths.conversation("eval")
        argv = self._convert(path, output)
        outputs = (Output(path=output, kind="conversation"),)
        step = self._step("convert-alpaca-eval", "Convert held-out alpaca data", argv, (path,), outputs)
        return self._unless_no_evaluation(step)

    def preprocess(self, part: str) -> Step:
        data, conversation, output = self.profile.dataset, self.paths.conversation(part), self.paths.mindrecord(part)
        tokenizer = self.facts.tokenizer_model
        title = "Write training MindRecord" if part == "train" else "Write held-out MindRecord"
        if self.facts.text:
            path, argv = text_arguments(self.profile, self.facts, part, output)
            return self._mindrecord(part, title, argv, (path, tokenizer), output)
        template = prompt_template(self.profile, self.facts.route)
        words: tuple[str, ...] = ("--model_file", tokenizer)
        if template == CHAT_TEMPLATE:
            words = ("--tokenizer", tokenizer)
        family = FAMILIES.get(self.facts.model.family)
        shifted = self.direct or (family is not None and family.shifted_labels)
        if template == CHAT_TEMPLATE or shifted:
            words = (*words, "--labels", "shifted" if shifted else "as-tokens")
        argv = (
            *self.facts.training_command, "preprocess", "--dataset_type", "qa", "--input_glob", conversation,
            *words, "--seq_length", str(data.seq_length), "--purpose", part, "--output_file", output,
            "--template", template, "--vocab_size", str(self.facts.model.vocab_size), "--force",
        )  # fmt: skip
        if data.pack and part == "train":
            argv = (*argv, "--pack")
        for limit in ("max_masked", "warn_cut"):
            if getattr(data, limit) != getattr(Dataset(), limit):
                argv = (*argv, f"--{limit}", str(getattr(data, limit)))
        return self._mindrecord(part, title, argv, (conversation, tokenizer), output)

    def _mindrecord(self, part: str, title: str, argv: tuple[str, ...], inputs: tuple[str, ...], output: str) -> Step:
        step = self._step(f"preprocess-{part}", title, argv, inputs, (Output(path=output, kind="mindrecord"),))
        return self._unless_no_evaluation(step) if part == "eval" else step

    def evaluate(self, step_id: str, title: str, checkpoint: str) -> Step:
        log = self.paths.log_dir(step_id)
        outputs = (Output(path=log, kind="perplexity"), Output(path=log, kind="weights_loaded"))
        inputs = (self.paths.config(step_id), checkpoint, self.paths.mindrecord("eval"))
        not_needed = self._no_evaluation
        return self._mindformers(step_id, title, self.evaluation, inputs, outputs, not_needed=not_needed)

    def train(self) -> Step:
        outputs = (
            Output(path=self.paths.checkpoints, kind="checkpoint_folder"),
            Output(path=self.paths.finetuned, kind="checkpoint_folder"),
            Output(path=self.paths.log_dir("train"), kind="weights_loaded"),
        )
        inputs = (self.paths.config("train"), self.weights, self.paths.mindrecord("train"))
        return self._mindformers(
            "train", "Fine-tune", "finetune", inputs, outputs,
            checkpoint_dir=self.paths.checkpoints, workers=self.profile.nodes.worker_num,
            graceful_exit=self.paths.graceful_exit if saves_on_request(self.profile, self.facts) else "",
            tokens_per_step=self.numbers.tokens_per_step, total_steps=self.numbers.total_steps,
        )  # fmt: skip

    def export(self) -> Step:
        hf_dir, output = self.profile.model.hf_dir, self.paths.exported
        # where evaluation takes rank 0's: it has all, and a rank of an earlier training does not count
        sliced = is_distributed(self.profile, self.evaluation)
        saved = self.paths.finetuned if sliced else f"{self.paths.finetuned}/rank_0"
        argv = (
            *self.facts.own_command, "convert-weight", "--model", self.profile.model.family, "--reversed",
            "--input_path", saved, "--config_path", hf_dir, "--output_path", output,
            "--dtype", self.profile.weights.dtype, "--force",
            *(("--verify",) if self.profile.weights.verify else ()),
        )  # fmt: skip
        training = self.profile.training
        if training.method == "lora":
            argv = (*argv, "--lora_scaling", str(training.lora_alpha / training.lora_rank))
        if self.facts.end_token:
            argv = (*argv, "--end_token", self.facts.end_token)
        outputs = (Output(path=output, kind="hf_folder"),)
        return self._step("export", "Write the Hugging Face folder", argv, (self.paths.finetuned, hf_dir), outputs)

    def summary(self) -> Step:
        argv = (
            *self.facts.own_command,
            "summary",
            self.paths.run_dir,
            *(("--require-gain",) if self.profile.rehearsal else ()),
        )
        steps = ("train",) if self._no_evaluation else ("evaluate-before", "train", "evaluate-after")
        inputs = (self.paths.finetuned, *(self.paths.log_dir(step_id) for step_id in steps))
        return self._step("summary", "Summary", argv, inputs, (Output(path=self.paths.summary, kind="json"),))

    def files(self) -> tuple[PlannedFile, ...]:
        """The YAML files that the MindFormers steps read, and config.json where the model's own is not for it."""
        steps = ("train",) if self._no_evaluation else ("evaluate-before", "train", "evaluate-after")
        files = tuple(self.texts.file(step_id, self.paths.work_dir) for step_id in steps)
        if not self.facts.config_text:
            return files
        return (*files, PlannedFile(path=self.paths.model_config, text=self.facts.config_text))

    def _mindformers(
        self,
        step_id: str,
        title: str,
        mode: RunMode,
        inputs: tuple[str, ...],
        outputs: tuple[Output, ...],
        **more: Any,  # noqa: ANN401 - other fields of the step
    ) -> Step:
        environment = self.facts.environment
        runner = f"{self.facts.package_dir}/launch/runtime/runner.py"
        cpu = self.profile.environment.device_target == "CPU"
        # MindFormers' own program knows neither the mode nor what is to be in place before MindFormers is imported
        family = FAMILIES.get(self.profile.model.family)
        own_network = family is not None and family.network is not None and family.network.own
        script = runner if self.direct or cpu or own_network else environment.run_mindformer or runner
        arguments: tuple[str, ...] = (script, "--config", self.paths.config(step_id), "--run_mode", mode)
        if cpu:
            arguments = (*arguments, "--register_path", f"{self.facts.package_dir}/launch/runtime/cpu")
        # msrun calls plain `python`: the training interpreter's folder has to come first
        search_paths = {"PATH": posixpath.dirname(environment.python) or "."}
        if environment.mindformers_home:
            search_paths["PYTHONPATH"] = environment.mindformers_home
        rank, training_log = self.node_rank, ""
        argv: tuple[str, ...] = (environment.python, *arguments)
        if is_distributed(self.profile, mode):
            nodes = self.profile.nodes
            # on a shared disk each node has a folder of its own
            msrun_log = f"{self.paths.run_dir}/msrun_log/{step_id}" + (f"/node_{rank}" if nodes.hosts else "")
            argv = build_msrun(environment.msrun, nodes, log_dir=msrun_log, script=arguments, node_rank=rank)
            training_log = worker_log(msrun_log, nodes, rank)
        if self.part:
            # no checkpoint to go on from is looked for there: the head says from which
            more["checkpoint_dir"] = ""
        return Step(
            id=f"{step_id}-node{rank}" if self.part else step_id,
            title=title,
            argv=argv,
            # the records of what is done lie in the working directory: here one set for each run
            cwd=self.paths.run_dir,
            env={"LOG_MF_PATH": self.paths.log_dir(step_id), **self._plog(step_id), **self._graceful_exit(mode)},
            search_paths=search_paths,
            inputs=inputs,
            outputs=outputs,
            training_log=training_log,
            own_network=own_network,
            devices=needed_devices(self.profile, mode, self.facts.visible_npus),
            **more,
        )

    def _plog(self, step_id: str) -> dict[str, str]:
        """CANN's own logs go to ~/ascend/log otherwise, those of all jobs together."""
        if self.profile.environment.device_target == "CPU":
            return {}
        return {"ASCEND_PROCESS_LOG_PATH": f"{self.paths.run_dir}/plog/{step_id}"}

    def _graceful_exit(self, mode: RunMode) -> dict[str, str]:
        """What newer versions set by themselves, where the YAML says `use_graceful_exit`."""
        release = self.facts.environment.release
        by_variable = release is not None and not release.graceful_exit and saves_on_request(self.profile, self.facts)
        return {"MS_ENABLE_GRACEFUL_EXIT": "1"} if by_variable and mode == "finetune" else {}

    def _unless_no_evaluation(self, step: Step) -> Step:
        return step.model_copy(update={"not_needed": self._no_evaluation}) if self._no_evaluation else step

    def _step(
        self, step_id: str, title: str, argv: tuple[str, ...], inputs: tuple[str, ...], outputs: tuple[Output, ...]
    ) -> Step:
        return Step(id=step_id, title=title, argv=argv, cwd=self.paths.work_dir, inputs=inputs, outputs=outputs)
