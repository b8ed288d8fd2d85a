# bash completion of datamesh, made by "datamesh completion bash".
_datamesh() {
  local IFS=$'\n' line current words
  current=${COMP_WORDS[COMP_CWORD]}
  words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  # bash splits at '='; the program sees "--option value".
  local given=() word
  for word in "${words[@]}"; do
    [ "$word" = '=' ] && { word=; [ "$current" = '=' ] && current= && given+=(''); continue; }
    given+=("$word")
  done
  COMPREPLY=()
  while read -r line; do
    case $line in
      :files) compopt -o filenames; COMPREPLY+=($(compgen -f -- "$current")) ;;
      :folders) compopt -o filenames; COMPREPLY+=($(compgen -d -- "$current")) ;;
      */) compopt -o nospace; COMPREPLY+=("$line") ;;
      ?*) COMPREPLY+=("$line") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${given[@]}" 2>/dev/null)
}
complete -F _datamesh datamesh
