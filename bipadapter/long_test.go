package bipadapter

import "flag"

// Long has the heavy checks run whole, of the tests of both packages.
var Long = flag.Bool("long", false, "run the heavy checks whole")
