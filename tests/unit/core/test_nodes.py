"""The list of nodes: how it is typed, what is refused, what follows from it."""

import pytest

from sft_tui.core.nodes import keep_details, parse_hosts, show_hosts
from sft_tui.core.profile import default_data, parse_field
from sft_tui.core.profile_problems import validate_profile
from sft_tui.store.profile_store import load_profile_data, save_profile_data


def check(hosts, **more):
    data = default_data("x", work_dir="/w", python="/p", device_target="CPU")
    data["nodes"].update(hosts=hosts, **more)
    profile, problems = validate_profile(data)
    return profile, {p.field: p.message for p in problems if p.field.startswith("nodes")}


def test_a_line_of_text_names_the_nodes_and_counts_their_workers():
    typed = "root@10.0.0.1:2222*8, node2*8, [fe80::1]*8"
    profile, problems = check(typed)
    assert problems == {}
    assert (profile.nodes.worker_num, profile.nodes.local_worker_num, profile.nodes.master) == (24, 8, "10.0.0.1")
    first, _, last = ((n.user, n.host, n.port) for n in profile.nodes.hosts)
    assert (first, last) == (("root", "10.0.0.1", 2222), ("", "fe80::1", 0))
    assert show_hosts(parse_field("nodes", "hosts", typed)) == typed


def test_without_nodes_it_is_this_host():
    profile, _ = check([], worker_num=2)
    assert (profile.nodes.master, profile.nodes.local_worker_num) == ("127.0.0.1", 2)


@pytest.mark.parametrize(
    "hosts",
    [
        "-oProxyCommand=x*2", "$(reboot)*2", "a b*2", "a*2, a*2", "a*2, b*1", "a", "a;b*2", "a'*2", "@a*2", "-l@a*2",
        [{"host": "a\n", "local_worker_num": 2}], [{"host": "a", "user": "-x", "local_worker_num": 2}],
        [{"host": "a", "local_worker_num": 2, "options": ["ProxyCommand=x"]}],
        [{"host": "a", "local_worker_num": 2, "options": ["StrictHostKeyChecking=no"]}],
        [{"host": "a", "local_worker_num": 2, "options": ["Ciphers=-x"]}],
        [{"host": "a", "local_worker_num": 2, "port": "22"}],
        [{"host": "a", "local_worker_num": 2, "python": "python"}],
        [{"host": "a", "local_worker_num": 2, "work_dir": "/a\nb"}], [{"hosts": "a"}], 7,
    ],
)  # fmt: skip
def test_what_ssh_could_take_for_something_else_is_refused(hosts):
    profile, problems = check(hosts)
    assert profile is None and list(problems) == ["nodes.hosts"]


def test_the_first_node_needs_an_address_that_means_the_same_everywhere():
    _, problems = check("localhost*2, b*2")
    assert list(problems) == ["nodes.master_addr"]
    assert check("localhost*2, b*2", master_addr="10.0.0.1")[1] == {}


def test_a_count_that_is_not_the_sum_is_refused():
    profile, problems = check("a*2, b*2", worker_num=3)
    assert profile is None and problems == {"nodes.worker_num": "The nodes have 4 workers, not 3."}


def test_a_file_keeps_them_as_tables_and_an_edited_line_keeps_the_rest(tmp_path):
    data = default_data("x", work_dir="/w", python="/p", device_target="CPU")
    options = ["Compression=yes"]
    data["nodes"]["hosts"] = [{"host": "a", "local_worker_num": 2, "identity_file": "/k", "options": options}]
    path = save_profile_data(tmp_path, "x", data)
    assert "[[nodes.hosts]]" in path.read_text()
    kept = load_profile_data(tmp_path, "x")["nodes"]["hosts"]
    assert kept == data["nodes"]["hosts"]
    edited = keep_details(parse_hosts("a:22*4, b*4"), kept)
    assert edited[0]["identity_file"] == "/k" and edited[0]["local_worker_num"] == 4 and edited[1]["host"] == "b"
    data["nodes"]["hosts"] = []
    save_profile_data(tmp_path, "x", data)
    assert load_profile_data(tmp_path, "x")["nodes"]["hosts"] == []
