/* Harness of policies that decide a moment. */
#include "moment.h"
#include "harness.h"
