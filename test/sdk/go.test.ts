import { describeMatrix } from './matrix.ts';
import { GO } from './toolchains.ts';

describeMatrix(GO);
