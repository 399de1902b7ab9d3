"""The NPUs of all hosts: a strip with a character for each, the worst host first, and one host with all its values."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import ClassVar, Optional

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from sft_tui.cluster.node_monitor import NodeMonitor, NodeView, WatchedNode
from sft_tui.core.nodes import Node
from sft_tui.core.profile import Profile
from sft_tui.core.terminal_text import neutralise
from sft_tui.monitor.device_view import MEASURES, NodeCells, StripLayout, lay_out, node_cells, order_nodes
from sft_tui.tui.background import Background
from sft_tui.tui.bridge import BackgroundFailed
from sft_tui.tui.text.device_text import NODE_LEGEND, brief_node, node_lines, strip_legend, strip_lines, strip_summary
from sft_tui.tui.widgets.key_line import KeyLine
from sft_tui.tui.widgets.line_block import LineBlock
from sft_tui.tui.widgets.text_block import TextBlock

AGE_SECONDS = 1.0  # how often the ages are drawn anew


@dataclass
class NodesSampled(Message):
    """Some hosts have sent samples, or stopped sending them: what is known of all."""

    views: tuple[NodeView, ...]


class DevicesScreen(Screen[None]):
    """Watches the hosts of a profile, or this one, as long as it is open."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "choose(-1)", "Choose", key_display="arrows"),
        Binding("down,j", "choose(1)", show=False),
        Binding("left", "choose_column(-1)", show=False),
        Binding("right", "choose_column(1)", show=False),
        Binding("pageup,b", "turn(-1)", "Page", key_display="pgup/pgdn"),
        Binding("pagedown", "turn(1)", show=False),
        Binding("home,g", "worst", "Worst"),
        Binding("enter", "open", "Open"),
        Binding("m", "measure", "Measure"),
        Binding("escape,q", "back", "Back"),
    ]

    def __init__(self, nodes: tuple[WatchedNode, ...]) -> None:
        super().__init__(id="devices-screen")
        self._views = tuple(NodeView(place, node.name) for place, node in enumerate(nodes))
        self._background = Background(self.post_message)
        self._monitor = NodeMonitor(nodes, lambda views: self.post_message(NodesSampled(views)))
        self._measure = 0
        self._chosen: Optional[int] = None  # a place in the list; None: the worst, whichever that is
        self._opened: Optional[int] = 0 if len(nodes) == 1 else None
        self._failure = ""

    def compose(self) -> ComposeResult:
        yield TextBlock(id="devices-head")
        yield LineBlock(id="devices-strip")
        with VerticalScroll(id="devices-node", can_focus=True):
            yield LineBlock(id="devices-values")
        yield TextBlock(id="devices-chosen")
        yield TextBlock(id="devices-legend")
        yield KeyLine()

    def on_mount(self) -> None:
        self._background.run(self._watch)
        self.set_interval(AGE_SECONDS, self._draw)
        self._turn_to_view()

    def on_unmount(self) -> None:
        self._monitor.close()

    def on_resize(self) -> None:
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the strip are dead where one host is in view: there the arrows scroll."""
        return action == "back" or self._opened is None

    def _watch(self) -> None:
        self._monitor.run()

    @on(NodesSampled)
    def _sampled(self, message: NodesSampled) -> None:
        self._views = message.views
        self._draw()

    @on(BackgroundFailed)
    def _failed(self, message: BackgroundFailed) -> None:
        message.stop()
        self._failure = message.message
        self._draw()

    # --- moving --------------------------------------------------------------------------------

    def action_choose(self, by: int) -> None:
        """Mark the next host, or the one before."""
        nodes = self._ordered()
        at = min(len(nodes) - 1, max(0, self._position(nodes) + by))
        self._chosen = nodes[at].place
        self._draw()

    def action_choose_column(self, by: int) -> None:
        """Mark a host in the column beside."""
        self.action_choose(by * self._layout().rows)

    def action_turn(self, by: int) -> None:
        """Show another page."""
        self.action_choose(by * self._layout().per_page)

    def action_worst(self) -> None:
        """Mark the worst host, and the next one that becomes it."""
        self._chosen = None
        self._draw()

    def action_measure(self) -> None:
        """Show another measure."""
        self._measure = (self._measure + 1) % len(MEASURES)
        self._draw()

    def action_open(self) -> None:
        """Show all values of the marked host."""
        nodes = self._ordered()
        self._opened = nodes[self._position(nodes)].place
        self._turn_to_view()

    def action_back(self) -> None:
        """From a host to the strip, from there to the monitor."""
        if self._opened is None or len(self._views) == 1:
            self.dismiss(None)
        else:
            self._chosen, self._opened = self._opened, None
            self._turn_to_view()

    def _turn_to_view(self) -> None:
        one = self.query_one("#devices-node", VerticalScroll)
        one.display = self._opened is not None
        self.query_one("#devices-strip").display = self._opened is None
        if self._opened is not None:
            one.scroll_home(animate=False)
            one.focus()
        else:
            self.set_focus(None)
        self.refresh_bindings()
        self._draw()

    # --- drawing -------------------------------------------------------------------------------

    def _ordered(self) -> list[NodeCells]:
        now, measure = monotonic(), MEASURES[self._measure]
        return order_nodes(
            [
                node_cells(v.place, v.name, v.sample.npus if v.sample else None, v.age(now), v.problem, measure)
                for v in self._views
            ]
        )

    def _position(self, nodes: list[NodeCells]) -> int:
        return next((at for at, node in enumerate(nodes) if node.place == self._chosen), 0)

    def _layout(self) -> StripLayout:
        size = self.app.size
        most = max((len(v.sample.npus.devices) for v in self._views if v.sample is not None), default=0)
        return lay_out(len(self._views), most, size.width, size.height - 4)

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        if self._opened is not None:
            self._draw_node(self._views[self._opened])
        else:
            self._draw_strip()

    def _draw_node(self, view: NodeView) -> None:
        self._show("#devices-head", Content.assemble((" devices ", "bold reverse"), f" {neutralise(view.name)}"))
        self.query_one("#devices-values", LineBlock).show(node_lines(view, monotonic()))
        self._show("#devices-chosen", Content.styled(neutralise(self._failure), "$error"))
        self._show("#devices-legend", Content.styled(NODE_LEGEND, "dim"))

    def _draw_strip(self) -> None:
        nodes, layout = self._ordered(), self._layout()
        at = self._position(nodes)
        page, pages = at // layout.per_page, -(-len(nodes) // layout.per_page)
        shown = nodes[page * layout.per_page : (page + 1) * layout.per_page]
        turn = f"  page {page + 1} of {pages}" if pages > 1 else ""
        head = Content.assemble((" devices ", "bold reverse"), " ", strip_summary(nodes), (turn, "dim"))
        self._show("#devices-head", head)
        self.query_one("#devices-strip", LineBlock).show(strip_lines(shown, layout, nodes[at].place))
        if self._failure:
            self._show("#devices-chosen", Content.styled(neutralise(self._failure), "$error"))
        else:
            self._show("#devices-chosen", brief_node(self._views[nodes[at].place], monotonic()))
        self._show("#devices-legend", Content.styled(strip_legend(MEASURES[self._measure]), "dim"))

    def _show(self, selector: str, content: Content) -> None:
        self.query_one(selector, TextBlock).show(content)


def watched_nodes(profile: Optional[Profile]) -> tuple[WatchedNode, ...]:
    """The hosts of a profile and the folders that its job fills; without hosts this one."""
    if profile is None:
        return (WatchedNode("this host", Node(host="localhost")),)
    environment = profile.environment
    files = (profile.model.hf_dir, profile.model.ckpt, profile.dataset.train_path)
    if not profile.nodes.hosts:
        paths = tuple(path for path in (environment.work_dir, *files) if path)
        return (WatchedNode("this host", Node(host="localhost"), environment.python, paths),)
    return tuple(
        WatchedNode(node.host, node, node.python or environment.python, (node.work_dir or environment.work_dir,))
        for node in profile.nodes.hosts
    )
