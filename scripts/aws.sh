# The scripts that call aws source this file.
# shellcheck shell=bash

# The scripts parse the output of aws, so your configuration must not change its form.
export AWS_PAGER='' AWS_CLI_AUTO_PROMPT=off AWS_CLI_ERROR_FORMAT=legacy

# aws calls local AWS if AWS_ENDPOINT_URL is set. An AWS CLI before 1.29 or 2.13, such as the one of Debian 12, does not know
# this variable, and would call the real AWS.
aws() {
  command aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"
}

# ask COMMAND...: sets answer to what aws answers: the last line, because warnings may come before it. If aws fails, it sets answer to
# the whole error, which can have several lines, and fails.
ask() {
  ask_for_lines "$@" || return 1
  answer=${answer##*$'\n'}
}

# ask_for_lines COMMAND...: like ask, with all lines of the answer.
ask_for_lines() {
  # Like the function above. Without exec, bash would start one more process.
  answer=$(exec aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@" 2>&1) && return
  while [[ $answer == $'\n'* ]]; do answer=${answer#$'\n'}; done
  return 1
}

# ask_meanwhile DESCRIPTOR COMMAND...: begins to ask aws, because each start of aws takes half a second. DESCRIPTOR is a free number from
# 4 to 9, with which answered gets the answer.
ask_meanwhile() {
  local descriptor=$1
  shift
  eval "exec $descriptor< <(ask_for_lines \"\$@\" && printf '0 %s' \"\$answer\" || printf '1 %s' \"\$answer\")"
}

# answered DESCRIPTOR: waits for the answer, and is then like ask_for_lines.
answered() {
  IFS= read -r -d '' -u "$1" answer || true # to the end
  eval "exec $1<&-"
  local code=${answer%% *}
  answer=${answer#* }
  return "$code"
}

# list COMMAND...: sets answer to all that aws prints, and leaves warnings and errors on standard error.
list() {
  answer=$(exec aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@")
}

aws_region() {
  echo "${AWS_REGION:-${AWS_DEFAULT_REGION:-$(command aws configure get region || true)}}"
}

# agree QUESTION: asks on the terminal, unless $YES is 1, and fails if the answer is not yes.
agree() {
  local answer=
  [ "${YES:-}" != 1 ] || return 0
  printf '%s [y/N] ' "$1"
  read -r answer || true
  [[ $answer == [Yy] || $answer == [Yy][Ee][Ss] ]]
}

# can_ask: whether agree can ask, or need not.
can_ask() { [ "${YES:-}" = 1 ] || [ -t 0 ]; }

# advise ERROR: prints what to do about errors of CloudFormation that do not say it.
advise() {
  case $1 in
    *'DeletionPolicy member must be a string'* | *'UpdateReplacePolicy member must be a string'*)
      echo "make: CloudFormation refuses !If in a DeletionPolicy here. Replace it in cft/nested-stacks, for devl and test:" >&2
      echo "make:   sed -i.bak 's/!If .IsProd, RetainExceptOnCreate, Delete./Delete/' cft/nested-stacks/*.yaml" >&2
      echo "make: and for prod by RetainExceptOnCreate instead of Delete; then run make deploy again" >&2
      ;;
    *DeletionPolicy*RetainExceptOnCreate*)
      echo "make: CloudFormation does not know RetainExceptOnCreate here. Replace it by Retain in the templates in cft; then run make again" >&2
      ;;
  esac
}
