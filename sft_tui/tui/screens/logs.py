"""All logs of a job: one, or several merged by time; paged, followed, searched, filtered, written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, ClassVar, Optional, Pattern, Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Tree

from sft_tui.core.terminal_text import neutralise, short_size
from sft_tui.logs.error_count import ERROR_LINE
from sft_tui.logs.files import LogFile
from sft_tui.logs.filter import EVERYTHING, LogFilter, compile_search, parse_filter
from sft_tui.logs.merge import MERGED_AT_MOST, Cursor, MergedPage, MergedPages
from sft_tui.tui.background import Background
from sft_tui.tui.bridge import BackgroundFailed
from sft_tui.tui.logs import log_reader
from sft_tui.tui.logs.log_census import LogCensus, LogsFound
from sft_tui.tui.logs.log_reader import IsStale, LogReader, LogsSaved, NothingFound, PageRead
from sft_tui.tui.widgets.key_line import KeyLine
from sft_tui.tui.widgets.log_pane import LogPane
from sft_tui.tui.widgets.log_tree import Logs, LogTree
from sft_tui.tui.widgets.text_block import TextBlock

FOLLOW_SECONDS = 0.5  # a log that floods costs a page twice a second, and no more
CENSUS_SECONDS = 1.0
PROMPTS = {
    "search": "Search (regular expression; small letters find large ones): enter searches, escape leaves it",
    "filter": "Show only: level:warning rank:0,3 words as a regular expression. Empty: everything",
    "save": "Write the lines from the mark (m) to the end of this page into a new file:",
}


class LogsScreen(Screen[None]):
    """The logs that `find` lists; opens on the one whose path is preferred."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - no ClassVar in Textual
    AUTO_FOCUS = "#log-tree"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "ask('search')", "Find", key_display="/"),
        Binding("n", "find(True)", "Next"),
        Binding("N", "find(False)", "Previous", show=False),
        Binding("e", "errors", "Errors"),
        Binding("f", "ask('filter')", "Filter"),
        Binding("p,space", "follow", "Pause", key_display="p"),
        Binding("t", "whole", "Whole"),
        Binding("m", "mark", "Mark"),
        Binding("w", "ask('save')", "Write"),
        Binding("escape,q", "back", "Back"),
    ]

    def __init__(self, name: str, find: Callable[[], Sequence[LogFile]], prefer: str) -> None:
        super().__init__(id="logs-screen", classes="-list")
        self._of = name
        self._census = LogCensus(find)
        self._prefer = prefer
        self._background = Background(self.post_message)
        self._reader = LogReader(self.post_message)
        self._logs: Logs = ()  # that are shown
        self._pages = MergedPages(())
        self._page: Optional[MergedPage] = None
        self._total = 0
        self._following = True
        self._search: Optional[Pattern[bytes]] = None
        self._filter_text = ""
        self._keep: LogFilter = EVERYTHING
        self._ranks: frozenset[int] = frozenset()
        self._mark: Optional[Cursor] = None
        self._wish = 0
        self._waiting = False
        self._asking = ""
        self._note = ""

    def compose(self) -> ComposeResult:
        yield TextBlock(id="logs-head")
        with Horizontal(id="logs-body"):
            yield LogTree()
            yield LogPane()
        yield TextBlock(id="logs-prompt")
        yield Input(id="logs-input", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self._background.repeat(self._census.look, CENSUS_SECONDS)
        self.set_interval(FOLLOW_SECONDS, self._keep_up)
        self._draw_head()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where only the list is in view, its keys are those that count."""
        on_list = self.has_class("-narrow") and self.has_class("-list")
        return action == "back" or not (on_list or self._asking)

    def on_unmount(self) -> None:
        self._background.close()
        self._reader.close()

    # --- which logs ----------------------------------------------------------------------------

    @on(LogsFound)
    def _found(self, message: LogsFound) -> None:
        tree = self.query_one(LogTree)
        tree.show(message.files, message.errors)
        if not self._logs and message.files:
            preferred = [f for f in message.files if str(f.path) == self._prefer]
            self._open(tuple(preferred or message.files[:1]))
            tree.point_at(self._logs)

    @on(Tree.NodeSelected)
    def _selected(self, event: Tree.NodeSelected[Logs]) -> None:
        event.stop()
        if event.node.data:
            self._open(event.node.data)
            self.remove_class("-list")
            self.query_one(LogPane).focus()
            self.refresh_bindings()

    def _open(self, logs: Logs) -> None:
        self._logs, self._mark, self._following = logs, None, True
        self._note = ""
        if len(logs) > MERGED_AT_MOST:
            self._note = f"the first {MERGED_AT_MOST} of {len(logs)} logs"
        self._look_through()

    def _look_through(self) -> None:
        """Show the chosen logs through the filter."""
        chosen = [log for log in self._logs if not self._ranks or log.rank in self._ranks][:MERGED_AT_MOST]
        self._pages = MergedPages([log.path for log in chosen], self._keep)
        self._page = None
        self._mark = None
        if not chosen:
            self._note = "none of these logs is of such a rank"
        self._show_tail()

    # --- pages ---------------------------------------------------------------------------------

    def _ask_page(self, read: log_reader.PageWish, *, found: bool = False) -> None:
        pages, rows = self._pages, self.query_one(LogPane).rows
        self._wish += 1
        self._waiting = True
        number = self._wish

        def work(is_stale: IsStale) -> PageRead | NothingFound | None:
            page = read(pages, rows, is_stale)
            if page is None:
                return None if is_stale() else NothingFound(number)
            return PageRead(number, page, rows, sum(pages.end()), found)

        self._reader.ask(work)

    def _show_tail(self) -> None:
        self._following = True
        self._ask_page(lambda pages, rows, is_stale: log_reader.read_tail(pages, rows, is_stale))

    def _keep_up(self) -> None:
        if self._following and not self._waiting and self._logs:
            self._show_tail()
        elif self._waiting:
            self._draw_head()

    @on(LogPane.Sized)
    def _sized(self) -> None:
        if self._waiting:
            return  # what is being read may be a long search: a page of the right size follows it
        if self._page is None or self._following:
            self._show_tail()
        else:
            self._turn(0)

    @on(PageRead)
    def _read(self, message: PageRead) -> None:
        if message.wish != self._wish:
            return
        self._waiting = False
        self._page, self._total = message.page, message.total
        if message.found:
            self._following = False
        labels = [_label(path, self._logs) for path in self._pages.paths]
        self.query_one(LogPane).show(message.page.lines, labels, self._search)
        self._draw_head()
        if message.rows != self.query_one(LogPane).rows:
            self._sized()

    @on(NothingFound)
    def _nothing_found(self, message: NothingFound) -> None:
        if message.wish == self._wish:
            self._waiting = False
            self._note = f"no {'error' if self._search is ERROR_LINE else 'such line'} from here on"
            self._draw_head()

    @on(BackgroundFailed)
    def _failed(self, message: BackgroundFailed) -> None:
        message.stop()
        self._waiting = False
        self._note = message.message
        self._draw_head()

    def action_turn(self, pages_by: int, lines_by: int) -> None:
        """Go on by pages and lines, back where they are negative; at the end: follow."""
        if self._page is None:
            return
        self._following, self._note = False, ""
        self._turn(pages_by * max(1, self.query_one(LogPane).rows - 1) + lines_by)

    def _turn(self, by: int) -> None:
        here = self._page
        assert here is not None

        def read(pages: MergedPages, rows: int, is_stale: IsStale) -> Optional[MergedPage]:
            start = here.start
            if by < 0:
                above = log_reader.read_before(pages, start, -by, is_stale)
                if above is None:
                    return None
                start = above.start
            elif by > 0:
                below = log_reader.read_after(pages, start, by, is_stale)
                if below is None:
                    return None
                start = below.end
            page = log_reader.read_after(pages, start, rows, is_stale)
            if page is not None and len(page.lines) < rows:
                return log_reader.read_tail(pages, rows, is_stale)
            return page

        self._ask_page(read)

    def action_home(self) -> None:
        """The first page."""
        self._following = False
        self._ask_page(lambda pages, rows, stale: log_reader.read_after(pages, pages.begin(), rows, stale))

    def action_end(self) -> None:
        """The last page, and what will come."""
        self._note = ""
        self._show_tail()

    def action_follow(self) -> None:
        """Stand still, or follow again."""
        self._following = not self._following
        if self._following:
            self._show_tail()
        self._draw_head()

    def action_aside(self, by: int) -> None:
        """Show more of long lines."""
        self.query_one(LogPane).move_aside(by)

    def action_whole(self) -> None:
        """Lines with or without date and place in the source."""
        self.query_one(LogPane).toggle_whole()

    # --- searching, filtering, writing ---------------------------------------------------------

    def action_errors(self) -> None:
        """The first error; n leads to the next."""
        self._search = ERROR_LINE
        self._find(self._pages.begin(), forward=True)

    def action_find(self, forward: bool) -> None:
        """The next line that holds what was searched for, or the one before."""
        if self._search is None:
            self.action_ask("search")
        elif self._page is not None:
            first = self._page.lines[:1]
            start = list(self._page.start)
            if forward and first:
                start[first[0].source] = first[0].line.end
            self._find(tuple(start), forward=forward)

    def _find(self, cursor: Cursor, *, forward: bool) -> None:
        search = self._search
        assert search is not None
        self._note = ""

        def read(pages: MergedPages, rows: int, is_stale: IsStale) -> Optional[MergedPage]:
            found = log_reader.find_line(pages, search, cursor, is_stale, forward=forward)
            if found is None or not found.lines:
                return None
            return log_reader.read_after(pages, found.start, rows, is_stale)

        self._ask_page(read, found=True)

    def action_mark(self) -> None:
        """Here begins what is to be written."""
        if self._page is not None:
            self._mark = self._page.start
            self._note = "marked: w writes from here to the end of the page in view then"
            self._draw_head()

    def action_ask(self, what: str) -> None:
        """Ask for a pattern, a filter or a file."""
        self._asking = what
        start = {"filter": self._filter_text, "save": str(Path.cwd() / f"{self._of}.log")}.get(what, "")
        self.query_one("#logs-prompt", TextBlock).show(Content.styled(PROMPTS[what], "dim"))
        answer = self.query_one(Input)
        answer.value, answer.display = start, True
        answer.focus()
        self.refresh_bindings()

    @on(Input.Submitted)
    def _answered(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            if self._asking == "search" and event.value:
                self._search = compile_search(event.value)
                self._find(self._page.start if self._page else self._pages.begin(), forward=True)
            elif self._asking == "filter":
                self._keep, self._ranks = parse_filter(event.value)
                self._filter_text, self._note = event.value.strip(), ""
                self._look_through()
            elif self._asking == "save" and event.value and self._page is not None:
                self._save(Path(event.value).expanduser())
        except ValueError as error:
            self._note = str(error)
        self._close_prompt()

    def _save(self, path: Path) -> None:
        assert self._page is not None
        pages, start, end = self._pages, self._mark or self._page.start, self._page.end
        self._background.run(lambda: log_reader.save_lines(pages, start, end, path))

    @on(LogsSaved)
    def _saved(self, message: LogsSaved) -> None:
        self._note = f"{message.lines} lines are in {message.path}"
        self._draw_head()

    def _close_prompt(self) -> None:
        self._asking = ""
        self.query_one(Input).display = False
        self.query_one(LogPane).focus()
        self.refresh_bindings()
        self._draw_head()

    def action_back(self) -> None:
        """Out of the prompt, from a log to the list of them, from there to the monitor."""
        self._note = ""
        if self._asking:
            self._close_prompt()
        elif self.has_class("-narrow") and not self.has_class("-list"):
            self.add_class("-list")
            self.query_one(LogTree).focus()
            self.refresh_bindings()
            self._draw_head()
        else:
            self.dismiss(None)

    # --- the line above ------------------------------------------------------------------------

    def _draw_head(self) -> None:
        parts: list[Content | str | tuple[str, str]] = [(" logs ", "bold reverse"), " "]
        if not self._logs:
            parts.append(("looking for logs ...", "dim"))
        elif not self._pages.paths:
            parts.append(("no log", "bold"))
        elif len(self._pages.paths) == 1:
            parts.append((neutralise(self._pages.paths[0].name), "bold"))
        else:
            parts.append((f"{len(self._pages.paths)} logs by time", "bold"))
        if self._page is not None and self._total:
            place = "end" if self._following else f"{100 * sum(self._page.start) // self._total} %"
            parts.append(f"  {place} of {short_size(self._total)}")
        parts.append("  following" if self._following else ("  paused", "$warning"))
        if self._filter_text:
            parts.append((f"  only {neutralise(self._filter_text)}", "$accent"))
        if self._waiting and not self._following:
            parts.append(("  reading ...", "dim"))
        if not self._asking:
            self.query_one("#logs-prompt", TextBlock).show(Content.styled(neutralise(self._note), "$warning"))
        self.query_one("#logs-head", TextBlock).show(Content.assemble(*parts))


def _label(path: Path, logs: Logs) -> str:
    """Which log a line of a merged page is from: its rank, or its name."""
    log: Optional[LogFile] = next((log for log in logs if log.path == path), None)
    if log is None:
        return ""
    return f"{log.rank:>3}" if log.rank is not None else neutralise(path.stem)[:9]
