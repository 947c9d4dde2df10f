/*
 * version.h
 *		The version of the library, which is that of the extension (athena_calc.control).
 */
#ifndef ATHENA_CALC_VERSION_H
#define ATHENA_CALC_VERSION_H

#define ATHENA_CALC_VERSION "1.0"

#endif
