"""What a block of shell says: its simple commands, each a list of words."""

RESERVED = {"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "in", "esac", "time"}
OPERATORS = ("<<<", "&&", "||", ";;", ">>", "<<", ">&", "<&", "&>", "|", ";", "&", ">", "<", "(", ")", "\n")
REDIRECTIONS = {"<<<", ">>", "<<", ">&", "<&", "&>", ">", "<"}


class Operator(str):
    """So that a quoted ";" is a word."""


def commands(text):
    """The simple commands of `text`, those in `$(…)` before the one that they stand in."""
    tokens, nested = tokenize(text)
    found, words, skip = list(nested), [], False
    for token in [*tokens, Operator("\n")]:
        if isinstance(token, Operator):
            if token in REDIRECTIONS:
                # What a file descriptor's number would be is no argument.
                if words and words[-1].isdigit():
                    words.pop()
                skip = True
                continue
            if command := without_shell(words):
                found.append(command)
            words, skip = [], False
        elif skip:
            skip = False
        else:
            words.append(token)
    return found


def without_shell(words):
    """The words behind reserved words and assignments; nothing of `for X in …` and `case X in`."""
    words = list(words)
    while words and (words[0] in RESERVED or is_assignment(words[0])):
        words.pop(0)
    return [] if words and words[0] in ("for", "case", "function") else words


def is_assignment(word):
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def tokenize(text):
    """Words, without their quotes, and operators; and the commands that stand in `$(…)`."""
    tokens, nested, word, at, heredocs = [], [], None, 0, []

    def end_word():
        nonlocal word
        if word is not None:
            tokens.append(word)
        word = None

    while at < len(text):
        char = text[at]
        if text.startswith("\\\n", at):
            at += 2
        elif char == "\\":
            word, at = (word or "") + text[at + 1 : at + 2], at + 2
        elif char == "'":
            end = text.index("'", at + 1)
            word, at = (word or "") + text[at + 1 : end], end + 1
        elif char == '"':
            quoted, at, inner = double_quoted(text, at + 1)
            word = (word or "") + quoted
            nested += inner
        elif text.startswith("$(", at):
            end = closing(text, at + 2)
            nested += commands(text[at + 2 : end])
            word, at = (word or "") + text[at : end + 1], end + 1
        elif char == "#" and word is None:
            at = line_end(text, at)
        elif operator := next((one for one in OPERATORS if text.startswith(one, at)), None):
            end_word()
            at += len(operator)
            tokens.append(Operator(operator))
            if operator == "<<":
                heredocs.append(text[at : line_end(text, at)].split()[0].strip("-'\""))
            elif operator == "\n":
                for end in heredocs:
                    at = text.index(f"\n{end}\n", at - 1) + len(end) + 2
                heredocs = []
        elif char in " \t":
            end_word()
            at += 1
        else:
            word, at = (word or "") + char, at + 1
    end_word()
    return tokens, nested


def double_quoted(text, at):
    """What stands there, where it ends, and the commands in it."""
    word, nested = "", []
    while text[at] != '"':
        if text.startswith("\\\n", at):
            at += 2
        elif text[at] == "\\":
            word, at = word + text[at + 1], at + 2
        elif text.startswith("$(", at):
            end = closing(text, at + 2)
            nested += commands(text[at + 2 : end])
            word, at = word + text[at : end + 1], end + 1
        else:
            word, at = word + text[at], at + 1
    return word, at + 1, nested


def closing(text, at):
    """Where the `)` of a `$(` stands."""
    depth, quote = 1, ""
    while True:
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
            if depth == 0:
                return at
        at += 1


def line_end(text, at):
    end = text.find("\n", at)
    return len(text) if end < 0 else end
