"""What completes the flags of the command line in a shell: one script, for bash and for zsh.

It is fixed text: configs that are written later are found once it is printed again.
"""

from collections.abc import Iterable, Mapping

SCRIPT = """\
# for bash; for zsh, which reads it by bashcompinit. In a start file: eval "$(vdp --completion)"
if [ -n "$ZSH_VERSION" ]; then autoload -U +X compinit bashcompinit && compinit && bashcompinit; fi
_vdp_paths() {  # those that begin with $2, behind $1; folders alone where $3 is -d
  local path
  [ -n "$ZSH_VERSION" ] && setopt localoptions null_glob
  for path in "$2"*; do
    if [ -d "$path" ]; then COMPREPLY+=("$1$path/")
    elif [ "$3" != -d ] && [ -e "$path" ]; then COMPREPLY+=("$1$path"); fi
  done
}
_vdp() {
  local word="${COMP_WORDS[COMP_CWORD]}" flag="${COMP_WORDS[COMP_CWORD-1]}" lead=""
  if [ "$word" = "=" ]; then word=""
  elif [ "$flag" = "=" ]; then flag="${COMP_WORDS[COMP_CWORD-2]}"
  elif [[ "$word" == --*=* ]]; then flag="${word%%=*}"; lead="$flag="; word="${word#*=}"; fi
  case "$flag" in
VALUES
    --workdir|--out|--runs) COMPREPLY=(); _vdp_paths "$lead" "$word" -d ;;
    *) COMPREPLY=($(compgen -W "FLAGS" -- "$word")) ;;
  esac
}
complete -o nospace -F _vdp vdp
"""


def script(flags: Iterable[str], values: Mapping[str, Iterable[str]]) -> str:
    """The script.

    Args:
      flags: all of them, with the = of those that take a value.
      values: of flags that take one of a list; files are offered beside those of --config.
    """
    cases = []
    for flag, accepted in values.items():
        words = f'compgen -P "$lead" -W "{" ".join(accepted)}" -- "$word"'
        files = '; _vdp_paths "$lead" "$word"' if flag == "--config" else ""
        cases.append(f"    {flag}) COMPREPLY=($({words})){files} ;;")
    return SCRIPT.replace("VALUES", "\n".join(cases)).replace("FLAGS", " ".join(flags))
