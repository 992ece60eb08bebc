# Written by plan. Every job of this run ends here: it makes, by make's rules in cells.mk, what its element of the array is for.
#
# What other jobs make is only looked at. Where it is not there, or older than what it is made from, they failed or did not run; made
# here as well, two jobs might write the same file at once.

element=${elements[${SLURM_ARRAY_TASK_ID:?expected from sbatch, for a job array}]:?expected an element of that number}
needs=${element%%|*}
makes=${element#*|}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
# Nothing of a make that submit.sh was called by.
unset MAKEFLAGS MFLAGS MAKELEVEL
make=(make --no-print-directory -f "$run/cells.mk" THREADS="$OMP_NUM_THREADS")

echo "$(date '+%F %T') $SLURM_JOB_NAME, element $SLURM_ARRAY_TASK_ID, on $(uname -n), start $((${SLURM_RESTART_COUNT:-0} + 1)): makes$makes"
# The names in both lists hold no blanks.
# shellcheck disable=SC2086
is_ready() { [ -z "${needs// /}" ] || "${make[@]}" -q $needs >/dev/null 2>&1; }

# What another node wrote to NFS may be seen here a minute later.
if ! is_ready && [ "$(stat -f -c %T "$run")" = nfs ]; then sleep 65; fi
if ! is_ready; then
  echo "Nothing is made, for what other jobs make for it is not there, or not up to date:" >&2
  # shellcheck disable=SC2086
  "${make[@]}" -n $needs 2>&1 | sed -n -e "s/^echo '\(.*\)'\$/  \1/p" -e 's/^\(make: \*\*\* .*\)/  \1/p' >&2
  echo "Once the reason is removed (see the logs beside this one), submit.sh makes what is missing." >&2
  exit 3
fi
# shellcheck disable=SC2086
exec "${make[@]}" $makes
