"""What to do about each kind of failure, in English and Chinese."""

from __future__ import annotations

from sft_tui.diagnosis.rules.rule import Force

_BY_CATEGORY: dict[str, tuple[str, str]] = {
    "oom_device": (
        "The NPU's memory is full: reduce batch size or seq_length, turn recompute on or split the model over more "
        "devices; see with npu-smi info whether another process holds memory there.",
        "NPU 显存不足：减小 batch size 或 seq_length，开启重计算，或将模型切分到更多设备；用 npu-smi info 查看是否有其他进程占用显存。",
    ),
    "oom_host": (
        "The host's memory was used up: fewer workers or data processes, smaller batches, or a larger memory limit of "
        "the container; dmesg shows which process was killed.",
        "主机内存耗尽：减少进程数或数据加载进程，减小批次，或调大容器内存上限；dmesg 可查看被杀进程。",
    ),
    "hccl_timeout": (
        "This rank waited for another one: look at the log of the rank that has an earlier, another or no error; if all "
        "ranks say the same, compare when each entered, and the limits HCCL_CONNECT_TIMEOUT and HCCL_EXEC_TIMEOUT.",
        "本卡在等待其他卡：先看报错更早、报错不同或没有报错的卡；若所有卡报错相同，比较各卡进入该算子的时间以及 "
        "HCCL_CONNECT_TIMEOUT、HCCL_EXEC_TIMEOUT 的设置。",
    ),
    "hccl_link": (
        "The link between two devices broke: check it with hccn_tool -i N -link -g and -link_stat -g, optics and "
        "switch port; see too whether the peer's process had ended before.",
        "两个设备之间的链路中断：用 hccn_tool -i N -link -g、-link_stat -g 检查链路、光模块和交换机端口，并确认对端进程是否先退出。",
    ),
    "device_fault_ecc": (
        "The device reports a hardware fault: take it out of use, look at npu-smi info -t ecc -i N and health, reset "
        "the card, and have it replaced if the fault comes back.",
        "设备上报硬件故障：停用该卡，用 npu-smi info -t ecc -i N 和健康状态确认，复位后仍出现则更换。",
    ),
    "device_busy": (
        "Another process holds the device: npu-smi info names it; end what an earlier run has left, wait ten seconds, "
        "start again, or choose other devices.",
        "设备被其他进程占用：用 npu-smi info 找到该进程，结束上次残留的任务，等待十秒后重试，或更换设备。",
    ),
    "driver_cann_mismatch": (
        "Driver, firmware and CANN do not fit together: sft-tui doctor compares them; install the driver that the CANN "
        "release names.",
        "驱动、固件与 CANN 不匹配：用 sft-tui doctor 比较版本，并安装该 CANN 版本要求的驱动。",
    ),
    "version_mismatch": (
        "Versions of installed packages do not fit together: sft-tui doctor shows them; install the versions that the "
        "MindFormers release names.",
        "软件版本不匹配：用 sft-tui doctor 查看，按 MindFormers 版本要求安装配套版本。",
    ),
    "config_parallel": (
        "The parallel layout does not fit: data_parallel x model_parallel x pipeline_stage has to be the number of "
        "devices, and heads, layers and batch have to divide by it.",
        "并行配置不合理：data_parallel × model_parallel × pipeline_stage 须等于设备数，且头数、层数、批次须能整除。",
    ),
    "config_other": (
        "A setting or the script is wrong: the quoted line names it; correct it there.",
        "配置或脚本有误：按引用行所指的内容修改。",
    ),
    "shape_mismatch": (
        "Shapes do not fit: compare seq_length and batch size of the configuration with the data, and the model's sizes "
        "with the weights. Where one side is larger by one (513 and 512), the rows were made for the other purpose: "
        "Llama trains on seq_length + 1 tokens, evaluation and Qwen3 read seq_length (preprocess --purpose, --labels).",
        "形状不匹配：核对配置中的 seq_length、batch size 与数据，以及模型尺寸与权重。若两侧只差 1（如 513 与 512），"
        "说明数据是为另一用途生成的：Llama 训练读取 seq_length + 1 个 token，评测与 Qwen3 读取 seq_length 个"
        "（preprocess 的 --purpose、--labels）。",
    ),
    "checkpoint_load": (
        "The weights could not be loaded: check load_checkpoint, that the files are whole (sft-tui inspect), and that "
        "they belong to this model and layout.",
        "权重加载失败：检查 load_checkpoint 路径、文件是否完整（sft-tui inspect），以及是否与模型和切分方式匹配。",
    ),
    "dataset_mindrecord": (
        "The data could not be read: check the path, that the .mindrecord and its .db lie side by side, and run "
        "sft-tui audit on it.",
        "数据读取失败：检查路径，.mindrecord 与其 .db 文件须放在一起，并用 sft-tui audit 检查。",
    ),
    "tokenizer": (
        "The tokenizer could not be used: check the path of tokenizer.model or tokenizer.json, that the file is whole "
        "and belongs to the model.",
        "分词器不可用：检查 tokenizer.model 或 tokenizer.json 的路径、文件是否完整、是否与模型匹配。",
    ),
    "disk_full": (
        "The disk is full: make room there (df -h, df -i), or let checkpoints, logs and kernel caches go elsewhere.",
        "磁盘空间不足：清理空间（df -h、df -i），或将权重、日志、算子缓存放到其他磁盘。",
    ),
    "permission": (
        "Access was refused: correct owner and mode of the file, or user group and device mounts of the container.",
        "权限不足：修正文件属主与权限，或容器的用户组与设备挂载。",
    ),
    "port_in_use": (
        "A port is taken: end the job that holds it (ss -ltnp), or choose another (master_port; for HCCL "
        "HCCL_IF_BASE_PORT, HCCL_NPU_SOCKET_PORT_RANGE).",
        "端口被占用：结束占用该端口的任务（ss -ltnp），或更换端口（master_port；HCCL 用 HCCL_IF_BASE_PORT、"
        "HCCL_NPU_SOCKET_PORT_RANGE）。",
    ),
    "node_not_joined": (
        "Not all processes came together: look at the log of the missing rank first; then same master_addr and port on "
        "all nodes, host network, firewall, HCCL_SOCKET_IFNAME.",
        "部分进程未加入集群：先看缺失卡的日志，再检查各节点 master_addr 与端口是否一致、主机网络、防火墙和 HCCL_SOCKET_IFNAME。",
    ),
    "worker_killed": (
        "A process was killed: dmesg and the scheduler of the cluster tell by whom; for SIGKILL look at the host's "
        "memory first.",
        "进程被杀：用 dmesg 和集群调度器日志确认原因；若为 SIGKILL，先检查主机内存。",
    ),
    "overflow_nan": (
        "Numbers got out of range: lower the learning rate, look at the data of those steps, use bf16 or another loss "
        "scale.",
        "数值溢出：降低学习率，检查相应步的数据，改用 bf16 或调整 loss scale。",
    ),
    "op_unsupported": (
        "The operator is not there for this device or type: use another one or another data type, or the CANN and "
        "MindSpore versions that have it.",
        "算子不支持该设备或数据类型：更换算子或数据类型，或使用支持该算子的 CANN、MindSpore 版本。",
    ),
    "op_compile": (
        "An operator could not be compiled: the quoted line names it; correct its input shapes and types, and check "
        "that te, tbe and the kernels package belong to the installed CANN.",
        "算子编译失败：按引用行修正其输入形状与类型，并确认 te、tbe 与 kernels 包和 CANN 版本一致。",
    ),
    "import_error": (
        "A Python module or library is missing in the training environment: install it there, and source CANN's "
        "set_env.sh.",
        "训练环境缺少 Python 模块或动态库：在该环境中安装，并 source CANN 的 set_env.sh。",
    ),
    "network": (
        "The network did not do: check name resolution, route and firewall between the hosts named in the line.",
        "网络故障：检查该行所涉及主机之间的域名解析、路由和防火墙。",
    ),
    "aicore_error": (
        "An operator failed on the AI Core: take the fault kernel_name from the log, check its inputs and whether the "
        "card reported a fault at that time.",
        "AI Core 算子执行失败：从日志取 fault kernel_name，检查其输入，并确认当时该卡有无硬件告警。",
    ),
    "other": (
        "Look at the quoted line and those just above it, and at CANN's plog of that process.",
        "查看引用行及其上方内容，以及该进程的 CANN plog。",
    ),
    "unknown": (
        "No rule knows these logs: begin with the earliest line below; CANN's plogs (~/ascend/log) may say more.",
        "没有规则能识别这些日志：请从下面最早的一行看起；CANN 的 plog（~/ascend/log）可能有更多信息。",
    ),
}

_SPECIAL: dict[str, tuple[str, str]] = {
    "tls": (
        "The TLS switch is not the same on all devices: set it alike everywhere with hccn_tool -i N -tls -s enable 0.",
        "各设备 TLS 开关不一致：用 hccn_tool -i N -tls -s enable 0 统一设置。",
    ),
    "ranktable": (
        "The rank table is wrong: make its path, device ids, device IPs and super device ids agree with the machines.",
        "rank table 有误：使其路径、设备号、设备 IP、super device id 与实际环境一致。",
    ),
    "collective_differs": (
        "The ranks do not call the same collective operator with the same size: same script, configuration, data and "
        "versions on all ranks.",
        "各卡调用的集合通信算子或数据量不一致：统一所有卡的脚本、配置、数据与版本。",
    ),
    "hccl_variable": (
        "An HCCL environment variable or network address is not valid: set the value in the range that the line names, "
        "or unset it; interfaces are listed by ip addr.",
        "HCCL 环境变量或网络地址无效：按该行给出的范围设置或取消；网卡名用 ip addr 查看。",
    ),
    "versions_of_nodes": (
        "The nodes have different versions of CANN: install one everywhere.",
        "各节点 CANN 版本不一致：统一安装同一版本。",
    ),
    "hccl_memory": (
        "No device memory was left for communication: lower HCCL_BUFFSIZE, the number of groups, or max_device_memory.",
        "通信所需显存不足：减小 HCCL_BUFFSIZE、通信域数量或 max_device_memory。",
    ),
    "sdma": (
        "A copy between devices failed: check the HCCS link and the card of the remote rank, then the buffers of the "
        "operator.",
        "设备间拷贝失败：检查 HCCS 链路和对端卡，再检查算子缓冲区。",
    ),
    "driver_missing": (
        "The driver does not answer: npu-smi info has to work here; in a container check the mounted devices, the "
        "driver folder and the user group.",
        "驱动无响应：确认 npu-smi info 可用；容器内检查设备、驱动目录挂载与用户组。",
    ),
    "cann_mixed": (
        "Parts of CANN do not belong together: source the set_env.sh of one release, and install toolkit, kernels and "
        "framework plugin that fit it.",
        "CANN 组件不配套：只 source 一个版本的 set_env.sh，并安装与之配套的 toolkit、kernels 与框架插件。",
    ),
    "device_id": (
        "There is no such device: compare device ids and ASCEND_RT_VISIBLE_DEVICES with npu-smi info, and the number "
        "of workers with the number of devices.",
        "设备号不存在：用 npu-smi info 核对设备号与 ASCEND_RT_VISIBLE_DEVICES，并核对进程数与设备数。",
    ),
    "ascii_path": (
        "The profiler's path is not valid: it may have letters, digits, dash, underscore and dot only.",
        "性能数据路径无效：只能包含字母、数字、短横线、下划线和点。",
    ),
    "streams": (
        "The device has no stream, event or notify left: fewer communication groups or graphs, fewer processes on a "
        "card, and destroy what is created.",
        "设备的 Stream、Event 或 Notify 资源耗尽：减少通信域或图数量、减少同卡进程，并成对销毁。",
    ),
    "getnext": (
        "The training got no data: the data pipeline failed or is too slow; look for its error above, and try the "
        "dataset without training.",
        "训练取不到数据：数据管道失败或过慢；查看更早的数据报错，并单独遍历数据集验证。",
    ),
    "graph_code": (
        "The network's code does not do in graph mode: correct the place that the call stack below the line names.",
        "网络代码不符合静态图语法：按该行下方调用栈指出的位置修改。",
    ),
    "device_target": (
        "The installed MindSpore is not for this device: install the one that is, or correct device_target.",
        "所装 MindSpore 不支持该设备：安装对应版本，或修改 device_target。",
    ),
    "strategy": (
        "A parallel strategy does not fit the tensor: every dimension has to divide by its share; change the layout or "
        "the size.",
        "并行策略与张量不匹配：各维须能被切分数整除；调整切分或尺寸。",
    ),
    "msrun": (
        "The processes were not started as a cluster: check worker_num, local_worker_num, node_rank, master_addr and "
        "master_port of msrun on each node.",
        "进程启动参数有误：检查每个节点 msrun 的 worker_num、local_worker_num、node_rank、master_addr、master_port。",
    ),
    "kernels": (
        "The compiled kernels of CANN are missing: install the kernels package of this release and card, and check "
        "ASCEND_OPP_PATH.",
        "缺少 CANN 算子二进制：安装与版本、芯片配套的 kernels 包，并检查 ASCEND_OPP_PATH。",
    ),
    "num_workers": (
        "More data workers than the host has cores: set num_parallel_workers (num_workers) lower.",
        "数据加载并行数超过 CPU 核数：调小 num_parallel_workers（num_workers）。",
    ),
    "open_files": (
        "Too many files are open: raise ulimit -n, or read with fewer files and workers.",
        "打开文件过多：调大 ulimit -n，或减少文件数与并行数。",
    ),
    "norm": (
        "Training stopped itself, for the global norm stayed above its threshold: lower the learning rate, look at the "
        "data of those steps, or raise the threshold.",
        "全局梯度范数连续超过阈值，训练主动停止：降低学习率，检查相应步的数据，或调高阈值。",
    ),
    "argument": (
        "A name in the configuration or on the command line is not known there: correct it as the quoted line says; "
        "MindFormers versions differ in names.",
        "配置或命令行中的参数名无法识别：按引用行修改；不同 MindFormers 版本的参数名有差异。",
    ),
    "script": (
        "The training script uses a tensor in a way that is not allowed: correct it at the place in the traceback.",
        "训练脚本中张量用法不当：按堆栈所示位置修改。",
    ),
    "ssh": (
        "The host could not be reached by ssh: try ssh -o BatchMode=yes HOST true; check keys, known_hosts, port.",
        "无法通过 ssh 连接该主机：用 ssh -o BatchMode=yes HOST true 验证，检查密钥、known_hosts 与端口。",
    ),
    "hub": (
        "A download was tried that cannot be done here: put the files on disk and give their path, or set a proxy or "
        "mirror (HF_ENDPOINT).",
        "此处无法联网下载：请把文件放到本地并填写路径，或设置代理、镜像（HF_ENDPOINT）。",
    ),
    "conntrack": (
        "The host drops packets, for its connection table is full: raise net.netfilter.nf_conntrack_max.",
        "连接跟踪表已满导致丢包：调大 net.netfilter.nf_conntrack_max。",
    ),
    "nfs": (
        "The shared file system did not answer, or was mounted anew: check the mount and start again.",
        "共享文件系统无响应或已重新挂载：检查挂载后重试。",
    ),
    "file_system": (
        "The file system or its disk has errors: look at dmesg, repair it with fsck, replace the disk.",
        "文件系统或磁盘出错：查看 dmesg，用 fsck 修复或更换磁盘。",
    ),
    "shared_memory": (
        "The shared memory of the container is too small: give it more (--shm-size), or use fewer data workers.",
        "容器共享内存不足：调大 --shm-size，或减少数据加载进程。",
    ),
    "pod": (
        "The cluster's scheduler could not place the job: look at its events, quota and free nodes.",
        "集群调度器无法创建任务：查看其事件、配额与空闲节点。",
    ),
    "library": (
        "A shared library is missing or of another version: source CANN's set_env.sh, check LD_LIBRARY_PATH, and "
        "install builds that belong together.",
        "动态库缺失或版本不符：source CANN 的 set_env.sh，检查 LD_LIBRARY_PATH，并安装配套版本。",
    ),
    "import_name": (
        "A package has not what another one wants of it: install the versions that belong together.",
        "软件包接口不匹配：安装相互配套的版本。",
    ),
    "set_env": (
        "CANN's environment is not set: source set_env.sh of the installed toolkit before starting.",
        "未设置 CANN 环境变量：启动前先 source 所装 toolkit 的 set_env.sh。",
    ),
    "crash": (
        "A process crashed in native code: look at the stack below the line; mostly versions of libraries that do not "
        "fit together.",
        "进程在底层代码中崩溃：查看该行下方堆栈；多为库版本不配套。",
    ),
    "time_limit": (
        "The cluster's scheduler ended the job: ask for more time, and go on from the last checkpoint.",
        "任务被集群调度器终止：申请更长时限，并从最近的权重续训。",
    ),
    "not_loaded": (
        "Parameters of the network got nothing from the checkpoint and stay random: compare their names with those of "
        "the checkpoint.",
        "部分网络参数未从权重中加载，仍为随机值：对比参数名与权重中的名称。",
    ),
    "traceback": (
        "Look at the traceback above the quoted line: its last place in your own code or configuration.",
        "查看引用行上方的堆栈，定位到自己代码或配置中的最后一处。",
    ),
    "rank_behind": (
        "This rank had done fewer collective operators than the others: find what kept it, in its own log before that "
        "time (data, saving, host load).",
        "该卡完成的集合通信算子少于其他卡：在其日志中查看此前被什么拖住（数据、存盘、主机负载）。",
    ),
    "rank_late": (
        "This rank gave up last, so it had come last: find in its log before that time what kept it.",
        "该卡最后超时，说明它最晚进入通信：在其日志中查看此前被什么拖住。",
    ),
    "worker_log": (
        "The scheduler lost this worker, whose log ends without a known error: look at its last lines, then at dmesg "
        "of its host.",
        "调度进程与该 worker 失联，其日志没有可识别的错误：查看其最后几行，再查看所在主机的 dmesg。",
    ),
}

_WHY_NOT: dict[Force, tuple[str, str]] = {
    Force.CAUSE: ("it came later, or in a later rank", "出现更晚，或在其他卡上"),
    Force.DEATH: ("a process that ended, not why", "只说明进程结束，未说明原因"),
    Force.LINK: ("a connection breaks when its peer has ended", "对端退出时连接也会中断"),
    Force.SYMPTOM: ("says what failed, not why", "只说明什么失败，未说明原因"),
    Force.GENERIC: ("an exception that follows", "后续异常"),
    Force.WAIT: ("waited for another rank in vain", "在等待其他卡，属于后果"),
    Force.WRAPPER: ("only says that something failed", "仅为包装错误"),
}


_TITLES: dict[str, tuple[str, str]] = {
    "oom_device": ("the device ran out of memory", "设备显存不足"),
    "oom_host": ("the host ran out of memory", "主机内存不足"),
    "hccl_timeout": ("waiting for another rank timed out", "等待其他卡超时"),
    "hccl_link": ("a link between devices broke", "设备间链路故障"),
    "device_fault_ecc": ("hardware fault of a device", "设备硬件故障"),
    "device_busy": ("the device is in use", "设备被占用"),
    "driver_cann_mismatch": (
        "driver and CANN do not fit, or the driver does not answer",
        "驱动与 CANN 不匹配或驱动异常",
    ),
    "version_mismatch": ("versions do not fit together", "软件版本不匹配"),
    "config_parallel": ("the parallel configuration is wrong", "并行配置错误"),
    "config_other": ("a setting or the script is wrong", "配置或脚本错误"),
    "shape_mismatch": ("shapes do not fit", "形状不匹配"),
    "checkpoint_load": ("the weights could not be loaded", "权重加载失败"),
    "dataset_mindrecord": ("the data could not be read", "数据读取失败"),
    "tokenizer": ("the tokenizer could not be used", "分词器错误"),
    "disk_full": ("no room on the disk", "磁盘空间不足"),
    "permission": ("access was refused", "权限不足"),
    "port_in_use": ("a port is in use", "端口被占用"),
    "node_not_joined": ("not all processes came together", "部分进程未加入集群"),
    "worker_killed": ("a process was killed or crashed", "进程被杀或崩溃"),
    "overflow_nan": ("numbers got out of range", "数值溢出"),
    "op_unsupported": ("an operator is not supported", "算子不支持"),
    "op_compile": ("an operator could not be compiled", "算子编译失败"),
    "import_error": ("a module or library is missing", "缺少模块或动态库"),
    "network": ("the network failed", "网络故障"),
    "aicore_error": ("an operator failed on the device", "算子执行异常"),
    "other": ("another failure", "其他故障"),
    "unknown": ("not known", "未知"),
}


def title(category: str, lang: str) -> str:
    """A category in words, `lang` being en or zh."""
    return _TITLES[category][lang == "zh"]


def remedy(key: str, category: str) -> tuple[str, str]:
    """What to do, in English and Chinese: for the key, else for the category."""
    return _SPECIAL.get(key) or _BY_CATEGORY.get(key) or _BY_CATEGORY[category]


def why_not(force: Force, *, same: bool) -> tuple[str, str]:
    """Why a line is not the first cause. `same`: it speaks of the same thing as the cause."""
    return ("repeats the cause", "重复首因") if same and force < Force.WAIT else _WHY_NOT[force]
