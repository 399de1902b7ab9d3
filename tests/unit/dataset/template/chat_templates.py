"""Chat templates in the manner of today's models, and hostile ones: what each gives is in the tests.

Written from what their conversations look like, not from their texts.
"""

from __future__ import annotations

from sft_tui.demo.toy_qwen3 import CHAT_TEMPLATE

QWEN3 = CHAT_TEMPLATE
# chatml; a system turn of its own where there is none
QWEN25 = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe of use.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# bos, a header for each message, blanks around its text are dropped
LLAMA3 = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ message.content | trim ~ '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# a mark for who speaks, and none for the end: the next one's mark ends an answer
GLM4 = (
    "[gMASK]<sop>"
    "{% for item in messages %}"
    "<|{{ item.role }}|>{{ '\n' + item.content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
# with transformers' mark for what is learned, a macro, and a break
MARKED = (
    "{% macro said(role, text) %}<|im_start|>{{ role }}\n{{ text }}<|im_end|>\n{% endmacro %}"
    "{% for m in messages %}"
    "{% if m.role == 'stop' %}{% break %}{% endif %}"
    "{% if m.role == 'assistant' %}{% generation %}{{ said(m.role, m.content) }}{% endgeneration %}"
    "{% else %}{{ said(m.role, m.content) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_CHATML = QWEN25.partition("{% endif %}")[2]
_GROWING = "{% set o = namespace(n='xx') %}{% for i in range(99) %}{% set o.n = "
# why each is refused
HOSTILE = {
    "a range without end": ("{% for i in range(10000000000) %}{% endfor %}", "longer than a conversation"),
    "ranges in ranges": (
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "longer than a conversation",
    ),
    "loops over a text": (
        "{% for a in 'abcdefghij' %}" * 12 + "{% endfor %}" * 12,
        "longer than a conversation",
    ),
    "a macro that calls itself": (
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "recursion|longer than",
    ),
    "a loop that calls itself": ("{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}", "calls itself"),
    "a class": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "reaches for `__"),
    "a class by name": ("{{ messages['__class__'] }}", "reaches for `__class__`"),
    "a class by filter": ("{{ messages|attr('__class__') }}", "the filter `attr`"),
    "globals of a function": ("{{ namespace.__init__.__globals__ }}", "reaches for `__"),
    "an import": ("{% import 'os' as os %}{{ os.system('id') }}", "line 1: it reaches for another template"),
    "a file": ("{% include '/etc/passwd' %}", "reaches for another template"),
    "a change of the data": ("{{ messages.append(1) }}", "reaches for what is not its own"),
    "a wide field": ("{{ '{:>999999999}'.format(1) }}", "reaches for what is not its own"),
    "an old wide field": ("{{ '%999999999d' % 1 }}", "calculates with `%`"),
    "many of one": ("{{ 'x' * 999999999 }}", r"calculates with `\*`"),
    "a power": ("{{ 9 ** 9 ** 9 }}", r"calculates with `\*\*`"),
    "doubling by ~": (_GROWING + "o.n ~ o.n %}{% endfor %}", "writes more"),
    "doubling by +": (_GROWING + "o.n + o.n %}{% endfor %}", "writes more"),
    "doubling by replace": (_GROWING + "o.n.replace('x', 'xx') %}{% endfor %}", "writes more"),
    "doubling by a filter": (_GROWING + "o.n | replace('x', 'xx') %}{% endfor %}", "writes more"),
    "doubling by join": (_GROWING + "o.n.join('aaa') %}{% endfor %}", "writes more"),
    "doubling in lists": (_GROWING + "[o.n, o.n] %}{% endfor %}{{ o.n }}", "writes more"),
    "doubling in objects": (_GROWING + "{'a': o.n, 'b': o.n} %}{% endfor %}{{ o.n }}", "writes more"),
    "doubling in namespaces": (_GROWING + "namespace(a=o.n, b=o.n) %}{% endfor %}{{ o.n }}", "writes more"),
    "doubling by map": (_GROWING + "[u, u] | map('default', o.n) | list %}{% endfor %}{{ o.n }}", "writes more"),
    "doubling in a block": (
        "{% set o = namespace(n='x') %}{% for i in range(99) %}{% set o.n %}{{ o.n }}{{ o.n }}{% endset %}{% endfor %}",
        "writes more",
    ),
    "much text": ("{% for i in range(9999) %}" + "x" * 9999 + "{% endfor %}", "writes more"),
    "a very long one": ("x" * 200_001, "200,001 characters"),
    "it is none": ("{% for %}", "line 1: "),
    "it divides by nothing": ("{{ 1 / 0 }}", "it fails: division by zero"),
    "it raises": ("{{ raise_exception('no such turn') }}", "it says: no such turn"),
    "it asks for the day": ("{{ strftime_now('%d') }}", "'strftime_now' is undefined"),
    "it drops answers": (_CHATML.replace("message['content']", "''"), r"it drops turn 1 \(user\)"),
    "it says things twice": (_CHATML.replace("message['content']", "message['content'] * 1"), "calculates with"),
    "it repeats": (
        _CHATML.replace("message['content']", "message['content'] + message['content']"),
        "keep in its place",
    ),
    "nothing ends an answer": (_CHATML.replace("'<|im_end|>' + ", "''+"), "no end token stands behind an answer"),
    "another opening": (
        _CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>' }}"),
        "changes once the answer is there",
    ),
}
