# Hands devices over by the command line.
. /vm/lib.sh
. /vm/carry.sh

carry_out cli.table
