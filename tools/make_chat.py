"""Write what transformers' apply_chat_template renders from the templates of agent/chat/tests/templates.

usage: make_chat.py        needs: transformers==5.24.0 jinja2      writes agent/chat/tests/expected.json
"""
import datetime
import json
import pathlib

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

FOLDER = pathlib.Path(__file__).parent.parent / "agent/chat/tests"
NOW = datetime.datetime(2026, 3, 7, 8, 9, 10)
TOKENS = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", cls_token="<cls>")
SYSTEM = {"role": "system", "content": " You summarize chats.\nBe brief. "}
USER = {"role": "user", "content": "Summarize:\n\nAmy: <b>héllo</b> & \"hi\" {{ x }} 😀\nBob: it's\tlate\n\n"}
REPLY = {"role": "assistant", "content": "<think>\nwell\n</think>\n\nAmy greets Bob. "}
CHATS = [[USER], [SYSTEM, USER], [USER, REPLY, USER], [SYSTEM, USER, REPLY, SYSTEM, USER], [USER, USER]]


class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Frozen
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>")), **TOKENS)
cases = []
for path in sorted((FOLDER / "templates").glob("*.jinja")):
    template = path.read_text()
    for chat in CHATS:
        case = {"template": path.name, "messages": chat}
        try:
            case["prompt"] = tokenizer.apply_chat_template(chat, chat_template=template, add_generation_prompt=True, tokenize=False, enable_thinking=False)
        except Exception as error:
            case["error"] = str(error)
        cases.append(case)
text = json.dumps({"now": NOW.isoformat() + "Z", "tokens": TOKENS, "cases": cases}, ensure_ascii=False, indent=1)
(FOLDER / "expected.json").write_text(text + "\n")
print(len(cases), "cases,", sum("error" in case for case in cases), "of them errors")
